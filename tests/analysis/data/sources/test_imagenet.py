"""ImageNet's class folders, small, with ImageNet-A beside them."""

import os
import shutil

import pytest
import torch
from pictures import save

from mixlens.analysis.data.image_files import ImageFiles
from mixlens.analysis.data.load import load_dataset
from mixlens.analysis.data.sources import imagenet, imagenet_a
from mixlens.analysis.errors import InputError
from mixlens.analysis.store.record import read_record
from mixlens.classifier.figures import measured
from mixlens.cli.main import main

WNIDS = [f"n0144{number:04}" for number in range(4)]


@pytest.fixture
def root(tmp_path, monkeypatch):
    for name, value in (("CLASSES", 4), ("TRAINED", 24), ("TESTED", 12), ("FEWEST", 6)):
        monkeypatch.setattr(imagenet, name, value)
    folder = tmp_path / "data" / "imagenet"
    for place, wnid in enumerate(WNIDS):
        for number in range(6):
            mode = "CMYK" if number == 4 else "L" if number == 5 else "RGB"
            width, height = 40 + 5 * number, 60 - 4 * number
            options = {"mode": mode, "format": "JPEG", "width": width, "height": height}
            save(folder / "train" / wnid / f"{wnid}_{number}.JPEG", 10 * place + number, **options)
        for number in range(3):
            name = f"ILSVRC2012_val_{10 * place + number:08}.JPEG"
            save(folder / "val" / wnid / name, 100 + 10 * place + number, format="JPEG")
    return tmp_path / "data"


def test_classes_are_wordnets_numbers_and_images_stay_in_files(root):
    data = load_dataset("imagenet", root)
    assert data.classes == tuple(WNIDS)
    assert isinstance(data.train.images, ImageFiles)
    assert data.train.images.shape == (24, 3, 224, 224)
    assert data.test.labels.bincount().tolist() == [3] * 4
    assert not data.others
    assert load_dataset("imagenet(size=32)", root).image_size == (32, 32)
    assert load_dataset("imagenet(size=224)", root).name == "imagenet"
    with pytest.raises(InputError, match="size must be a side in pixels"):
        load_dataset("imagenet(size=0)", root)


def test_a_layout_half_unpacked_is_one_message(root, failing):
    folder = root / "imagenet"

    def told():
        with pytest.raises(InputError) as caught:
            load_dataset("imagenet", root)
        message = failing("data", "imagenet", "--data-root", str(root))
        assert imagenet.ASK in message
        assert imagenet.missing(root) in message
        assert str(caught.value).startswith(f"ImageNet cannot be used: {imagenet.missing(root)}")
        return message

    shutil.move(folder / "train" / WNIDS[3], root / "aside")
    assert "train holds 3 class folders of 4, each named as n01440764; unpack the others too" in told()
    (folder / "train" / f"{WNIDS[3]}.tar").write_bytes(b"")
    assert f"train holds 3 class folders of 4 and 1 archives, such as {WNIDS[3]}.tar, still packed" in told()
    shutil.move(root / "aside", folder / "train" / WNIDS[3])
    for wnid in WNIDS:
        for name in os.listdir(folder / "val" / wnid):
            shutil.move(folder / "val" / wnid / name, folder / "val" / name)
        (folder / "val" / wnid).rmdir()
    assert "val holds images, and no class folders; sort them by the devkit's labels" in told()
    shutil.rmtree(folder / "val")
    assert "imagenet/val is missing; unpack the images there" in told()
    shutil.rmtree(folder)
    assert "imagenet/train is missing" in told()
    assert "it is had from https://image-net.org" in failing("data", "imagenet", "--fetch", "--data-root", str(root))


def test_a_class_half_unpacked_is_named(root):
    (root / "imagenet" / "train" / WNIDS[1] / f"{WNIDS[1]}_3.JPEG").unlink()
    with pytest.raises(InputError, match=rf"23 images of 24; too few are in {WNIDS[1]} \(5\)\. Unpack"):
        load_dataset("imagenet", root)


def natural(root, wnids, monkeypatch):
    monkeypatch.setattr(imagenet_a, "CLASSES", 2)
    monkeypatch.setattr(imagenet_a, "IMAGES", 6)
    for place, wnid in enumerate(wnids):
        for number in range(3):
            save(root / "imagenet-a" / wnid / f"0.00{number}_{place}.jpg", 500 + 10 * place + number)
    (root / "imagenet-a" / "README.txt").write_text("ImageNet-A")


def test_imagenet_a_is_mapped_onto_its_classes(root, monkeypatch):
    alone = load_dataset("imagenet", root)
    natural(root, [WNIDS[1], WNIDS[3]], monkeypatch)
    data = load_dataset("imagenet", root)
    other = data.others["imagenet-a"]
    assert other.among == (1, 3)
    assert other.split.labels.tolist() == [1] * 3 + [3] * 3
    assert other.split.images.shape == (6, 3, 224, 224)
    assert data.checksum == alone.checksum, "networks need not be trained again"
    assert torch.equal(data.subset(8, 0).others["imagenet-a"].split.labels, other.split.labels)
    with pytest.raises(InputError, match="imagenet_a is no data set to train on"):
        load_dataset("imagenet_a", root)
    (root / "imagenet-a" / WNIDS[3]).rename(root / "imagenet-a" / "n99999999")
    with pytest.raises(InputError, match="class folder n99999999, which is none of ImageNet's"):
        load_dataset("imagenet", root)
    shutil.rmtree(root / "imagenet-a" / "n99999999")
    with pytest.raises(InputError, match=r"does not hold 6 images in 2 class folders\. .*imagenet_a --fetch"):
        load_dataset("imagenet", root)


@pytest.mark.usefixtures("page_alone")
def test_it_is_trained_on_end_to_end_and_measured_on_imagenet_a(root, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    command = ["train", "--data", "imagenet(size=16)", "--data-root", str(root), "--model", "conv4(width=4)"]
    command += ["--classifier.epochs", "1", "--classifier.batch-size", "8", "--augmentations", "baseline,fmix"]
    command += ["--out", str(out), "--name", "small", "--seeds", "1"]
    assert main(command) == 0
    assert "imagenet-a" not in (out / "small" / "report.html").read_text(encoding="utf-8")
    natural(root, [WNIDS[1], WNIDS[3]], monkeypatch)
    assert main(command) == 0
    assert "3 taken from" in capsys.readouterr().err, "trainings stay, and are measured again"
    page = (out / "small" / "report.html").read_text(encoding="utf-8")
    assert "imagenet-a (%)" in page
    record = read_record(out / "small")
    assert [one.quantity for one in measured(record)] == ["accuracy", "other_accuracy:imagenet-a"], "for the claims"
    rows = record.table("classifier")
    rows = rows[rows["quantity"] == "other_accuracy"]
    assert rows["set"].tolist() == ["imagenet-a"] * 2
    assert rows["n"].tolist() == [6] * 2
    assert "12 test images" in page
