"""Image folders of a user's own, in both layouts, and whatever may be wrong with one."""

import pytest
import torch
from pictures import class_folders, save, two_splits

from mixlens.analysis.data import decoder
from mixlens.analysis.data.image_files import ImageFiles
from mixlens.analysis.data.load import load_dataset
from mixlens.analysis.data.of_files import MEAN
from mixlens.analysis.errors import InputError
from mixlens.cli.main import main


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "mine"


def loaded(folder, **arguments):
    given = "".join(f",{name}={value!r}" for name, value in arguments.items())
    return load_dataset(f"folder(path={str(folder)!r}{given})", folder.parent / "data")


@pytest.mark.parametrize("test", ["val", "test"])
def test_images_of_several_sizes_stay_in_their_files(folder, test):
    data = loaded(two_splits(folder, test))
    assert data.name == f"folder(path={str(folder)!r})"
    assert data.classes == ("cat", "dog")
    assert data.mean == MEAN
    assert isinstance(data.train.images, ImageFiles)
    assert data.train.images.shape == (12, 3, 224, 224)
    assert data.test.images.shape == (6, 3, 224, 224)
    assert data.train.labels.tolist() == [0] * 6 + [1] * 6
    assert sorted(data.test.labels.tolist()) == [0] * 3 + [1] * 3
    names = [data.test.images.files.path(row).split("/")[-2] for row in data.test.images.rows.tolist()]
    assert [data.classes.index(name) for name in names] == data.test.labels.tolist()


def test_images_of_one_size_lie_in_memory_unless_a_size_is_asked_for(folder):
    class_folders(folder, each=10)
    data = loaded(folder)
    assert isinstance(data.train.images, torch.Tensor)
    assert data.train.images.shape == (16, 3, 32, 40)
    assert isinstance(loaded(folder, size=24).train.images, ImageFiles)
    assert loaded(folder, size=24, mean=(0.5, 0.5, 0.5)).mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(("part", "each"), [(0.2, 2), (0.5, 5), (0.01, 1), (0.999, 9)])
def test_a_part_of_each_class_is_held_out(folder, part, each):
    class_folders(folder, each=10)
    data = loaded(folder, held_out=part)
    assert data.test.labels.bincount().tolist() == [each] * 2
    assert data.train.labels.bincount().tolist() == [10 - each] * 2
    assert data.checksum == loaded(folder, held_out=part).checksum
    assert each == 9 or data.checksum != loaded(folder, held_out=part, seed=1).checksum


def test_the_same_images_are_the_same_data_wherever_they_lie(folder, tmp_path):
    first = loaded(two_splits(folder)).checksum
    folder.rename(tmp_path / "elsewhere")
    assert loaded(tmp_path / "elsewhere").checksum == first
    save(tmp_path / "elsewhere" / "train" / "cat" / "0.jpg", seed=99)
    assert loaded(tmp_path / "elsewhere").checksum != first


def test_damaged_images_are_named_and_left_out_only_if_that_is_asked_for(folder):
    two_splits(folder)
    for name, ending in (("train/cat/0", "jpg"), ("val/dog/1", "jpg"), ("train/dog/x", "png")):
        path = save(folder / f"{name}.{ending}", width=90, height=80)
        path.write_bytes(path.read_bytes()[:-60])
    with pytest.raises(InputError, match=r"3 of 19 image files .*train/cat/0\.jpg \(image file is trunc.*skip_damaged"):
        loaded(folder)
    data = loaded(folder, skip_damaged=True)
    assert (len(data.train), len(data.test)) == (11, 5)
    assert len(data.train.images[:]) == 11
    for number in range(6):
        (folder / "train" / "cat" / f"{number}.jpg").write_bytes(b"none")
    with pytest.raises(InputError, match=r"class cat of train .* has no image that can be read"):
        loaded(folder, skip_damaged=True)


def test_the_command_line_says_it_in_one_message(folder, failing):
    two_splits(folder)
    (folder / "val" / "dog" / "0.jpg").write_text("<html>not found</html>")
    told = failing("train", "--data", f"folder(path={str(folder)!r})", "--data-root", str(folder.parent / "data"))
    assert "val/dog/0.jpg (it is no image of a known format)" in told


def test_memory_that_is_too_little_damages_no_file(folder, monkeypatch):
    def short(file):
        raise MemoryError

    monkeypatch.setattr(decoder, "whole", short)
    with pytest.raises(MemoryError):
        decoder.examine(str(save(folder / "a.jpg")))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"size": 0}, "size must be a side in pixels, 1 to 4096, got 0"),
        ({"size": "big"}, "size must be a side in pixels"),
        ({"held_out": 1}, "held_out must lie between 0 and 1, got 1"),
        ({"seed": -1}, "seed must be a whole number"),
        ({"skip_damaged": "yes"}, "skip_damaged must be True or False, got 'yes'"),
        ({"mean": (127.0, 127.0, 127.0)}, "on the 0 to 255 scale"),
        ({"std": 3}, "std must be three numbers, one a channel, got 3"),
        ({"sise": 3}, r"unknown argument 'sise'\. Did you mean 'size'"),
    ],
)
def test_arguments_that_make_no_sense(folder, arguments, told):
    class_folders(folder)
    with pytest.raises(InputError, match=told):
        loaded(folder, **arguments)


def test_layouts_that_are_none(folder):
    with pytest.raises(InputError, match="mine is no folder; expected PATH/train/CLASS"):
        loaded(folder)
    with pytest.raises(InputError, match="folder needs path=…"):
        load_dataset("folder")
    folder.mkdir()
    with pytest.raises(InputError, match="holds no folders"):
        loaded(folder)
    class_folders(folder / "train")
    with pytest.raises(InputError, match="has train, but neither val nor test"):
        loaded(folder)
    (folder / "train").rename(folder / "val")
    with pytest.raises(InputError, match="has val, but no train"):
        loaded(folder)
    class_folders(folder / "train", start=50)
    with pytest.raises(InputError, match=r"has train and val; leave held_out=0\.1 out"):
        loaded(folder, held_out=0.1)


def test_one_image_cannot_be_held_out_and_trained_on(folder):
    class_folders(folder)
    save(folder / "emu" / "0.jpg", 77)
    with pytest.raises(InputError, match=r"class emu in .* has 1 image that can be read; at least 2"):
        loaded(folder)


def test_files_in_both_splits_are_refused_or_dropped(folder):
    two_splits(folder)
    save(folder / "val" / "cat" / "copy.jpg", seed=3)
    save(folder / "val" / "cat" / "copy2.jpg", seed=3)
    with pytest.raises(InputError, match=r"1 of 12 training images .* such as train/cat/3\.jpg: .*apart=True"):
        loaded(folder)
    assert len(loaded(folder, apart=True).train) == 11


@pytest.mark.usefixtures("page_alone")
@pytest.mark.parametrize("layout", ["files", pytest.param("memory", marks=pytest.mark.slow)])
def test_it_is_trained_on_end_to_end(folder, capsys, layout):
    """Grey, CMYK and palette images among them."""
    if layout == "files":
        two_splits(folder, each=10)
        for number, mode in enumerate(("L", "CMYK", "RGB")):
            save(folder / "train" / "cat" / f"{mode}.tif", seed=200 + number, mode=mode)
        data = f"folder(path={str(folder)!r},size=16)"
    else:
        class_folders(folder, each=20, ending="png", width=16, height=16)
        data = f"folder(path={str(folder)!r})"
    out = folder.parent / "out"
    command = ["train", "--data", data, "--data-root", str(out), "--model", "conv4(width=4)", "--seeds", "1"]
    command += ["--classifier.epochs", "1", "--classifier.batch-size", "8", "--augmentations", "baseline,fmix"]
    assert main([*command, "--out", str(out), "--name", "pictures", "--decoders", "1"]) == 0
    page = (out / "pictures" / "report.html").read_text(encoding="utf-8")
    assert "FMix" in page
    assert "folder(path=" in page
    assert main([*command, "--out", str(out), "--name", "pictures"]) == 0
    assert "0 tasks run" in capsys.readouterr().err
