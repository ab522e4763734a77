"""Tiny-ImageNet's zip, small: three classes, some images grey."""

import hashlib
import shutil
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.error import URLError

import pytest
from pictures import picture, save

from mixlens.analysis.data.load import load_dataset
from mixlens.analysis.data.sources import tiny_imagenet
from mixlens.analysis.errors import InputError
from mixlens.cli.main import main

WNIDS = ["n02000003", "n02000001", "n02000002"]  # in no order, as published
EACH, TESTED = 8, 6


@pytest.fixture
def root(tmp_path, monkeypatch):
    """The data's folder with the small set in it."""
    monkeypatch.setattr(tiny_imagenet, "CLASSES", 3)
    monkeypatch.setattr(tiny_imagenet, "EACH", EACH)
    monkeypatch.setattr(tiny_imagenet, "TESTED", TESTED)
    folder, options = tmp_path / "data" / "tiny-imagenet-200", {"width": 64, "height": 64}
    for place, wnid in enumerate(WNIDS):
        boxes = []
        for number in range(EACH):
            name, mode = f"{wnid}_{number}.JPEG", "L" if number == 2 else "RGB"
            save(folder / "train" / wnid / "images" / name, 10 * place + number, mode=mode, **options)
            boxes.append(f"{name}\t0\t0\t62\t61\n")
        (folder / "train" / wnid / f"{wnid}_boxes.txt").write_text("".join(boxes))
    lines = []
    for number in range(TESTED):
        save(folder / "val" / "images" / f"val_{number}.JPEG", 100 + number, **options)
        lines.append(f"val_{number}.JPEG\t{WNIDS[number % 3]}\t0\t32\t44\t62\n")
    save(folder / "test" / "images" / "test_0.JPEG", 300, **options)
    (folder / "val" / "val_annotations.txt").write_text("".join(lines))
    (folder / "wnids.txt").write_text("\n".join(WNIDS))
    words = {"n02000001": "goldfish, Carassius auratus", "n02000002": "bullfrog", "n00000009": "no class of it"}
    (folder / "words.txt").write_text("".join(f"{wnid}\t{name}\n" for wnid, name in words.items()))
    return tmp_path / "data"


def test_images_and_labels_are_those_of_its_lists(root):
    data = load_dataset("tiny_imagenet", root)
    assert data.classes == ("goldfish", "bullfrog", "n02000003")
    assert data.train.images.shape == (24, 3, 64, 64)
    assert data.train.labels.bincount().tolist() == [EACH] * 3
    grey = (data.train.images == data.train.images[:, :1]).flatten(1).all(1)
    assert grey.nonzero().flatten().tolist() == [2, 10, 18]
    assert data.test.images.shape == (TESTED, 3, 64, 64)
    assert data.test.labels.bincount().tolist() == [2, 2, 2]
    assert not data.shared().any()
    assert all(file.ok for file in tiny_imagenet.status(root))


def test_validation_images_have_the_classes_of_their_lines(root):
    """The first, val_0, is of the last class."""
    data = load_dataset("tiny_imagenet", root)
    for image, label in zip(data.test.images, data.test.labels.tolist(), strict=True):
        error = [
            abs(picture(100 + number, 64, 64).transpose(2, 0, 1).astype(int) - image.numpy()).mean()
            for number in range(TESTED)
        ]
        number = error.index(min(error))
        assert sorted(WNIDS)[label] == WNIDS[number % 3]


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (lambda at: shutil.rmtree(at), "wnids.txt is missing"),
        (lambda at: shutil.rmtree(at / "train" / WNIDS[0]), "train holds another number of images"),
        (lambda at: (at / "val" / "images" / "val_3.JPEG").unlink(), "val/images holds another number"),
        (lambda at: (at / "val" / "val_annotations.txt").write_text(""), "val_0.JPEG has no line in"),
        (
            lambda at: (at / "val" / "val_annotations.txt").write_text("val_0.JPEG\tn1\t0\t0\t0\t0\n"),
            "val_0.JPEG is of 'n1', which is not in wnids.txt",
        ),
        (
            lambda at: save(at / "train" / WNIDS[0] / "images" / f"{WNIDS[0]}_0.JPEG", 1),
            "its images are of several sizes, not all of 64×64",
        ),
        (
            lambda at: (at / "train" / WNIDS[0] / "images" / f"{WNIDS[0]}_0.JPEG").write_bytes(b"\xff\xd8none"),
            "1 of 30 image files",
        ),
    ],
)
def test_what_is_not_whole_is_one_message_that_says_how_to_have_it(root, damage, told):
    damage(root / "tiny-imagenet-200")
    with pytest.raises(InputError, match=f"{told}.*mixlens data tiny_imagenet --fetch"):
        load_dataset("tiny_imagenet", root)


def test_it_is_fetched_as_a_zip_of_a_known_checksum(root, tmp_path, monkeypatch):
    archive = shutil.make_archive(str(tmp_path / "tiny"), "zip", root, "tiny-imagenet-200")
    digest = hashlib.md5(Path(archive).read_bytes()).hexdigest()
    served = partial(SimpleHTTPRequestHandler, directory=str(tmp_path))
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *given: None)
    server = ThreadingHTTPServer(("127.0.0.1", 0), served)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(tiny_imagenet, "URL", f"http://127.0.0.1:{server.server_port}/tiny.zip")
    monkeypatch.setattr(tiny_imagenet, "MD5", "0" * 32)
    with pytest.raises(InputError, match=r"could not be fetched to .*File not found or corrupted"):
        tiny_imagenet.fetch(tmp_path / "new")
    monkeypatch.setattr(tiny_imagenet, "MD5", digest)
    tiny_imagenet.fetch(tmp_path / "new")
    server.shutdown()
    server.server_close()
    assert load_dataset("tiny_imagenet", tmp_path / "new").checksum == load_dataset("tiny_imagenet", root).checksum
    monkeypatch.setattr(tiny_imagenet, "download_and_extract_archive", lambda *given, **more: 1 / 0)
    tiny_imagenet.fetch(tmp_path / "new")

    def fails(*given, **more):
        raise URLError("no network")

    monkeypatch.setattr(tiny_imagenet, "download_and_extract_archive", fails)
    with pytest.raises(InputError, match=r"no network.*mixlens data tiny_imagenet --fetch"):
        tiny_imagenet.fetch(tmp_path / "nowhere")


@pytest.mark.slow
@pytest.mark.usefixtures("page_alone")
def test_it_is_trained_on_end_to_end(root, tmp_path):
    command = [
        "train",
        "--data",
        "tiny_imagenet",
        "--data-root",
        str(root),
        "--model",
        "conv4(width=4)",
        "--seeds",
        "1",
    ]
    command += ["--classifier.epochs", "1", "--classifier.batch-size", "8", "--augmentations", "baseline,fmix"]
    assert main([*command, "--out", str(tmp_path / "out"), "--name", "tiny"]) == 0
    assert "FMix" in (tmp_path / "out" / "tiny" / "report.html").read_text(encoding="utf-8")
