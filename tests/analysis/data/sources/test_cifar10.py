import os
import pickle
import shutil
from urllib.error import URLError

import pytest
import torch
from platformdirs import user_cache_path

from mixlens.analysis.data import published
from mixlens.analysis.data.files import data_root
from mixlens.analysis.data.sources import cifar10
from mixlens.analysis.errors import InputError

NAMES = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch", "batches.meta"]

needs_data = pytest.mark.skipif(
    not os.environ.get("MIXLENS_DATA"), reason="MIXLENS_DATA does not name a folder with cifar-10-batches-py"
)


@pytest.fixture
def no_pickle(monkeypatch):
    """Any unpickling is a failure."""

    def refuse(*args, **kwargs):
        raise AssertionError("unpickled before the checksum was confirmed")

    monkeypatch.setattr(pickle, "load", refuse)


@pytest.fixture
def whole(tmp_path):
    """The real files, linked into a folder of the test's own."""
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in NAMES:
        (folder / name).symlink_to(data_root() / "cifar-10-batches-py" / name)
    return tmp_path


def spoil(path):
    """Replace a link by a copy with one bit changed in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.unlink()
    path.write_bytes(content)


def test_root_as_given_then_environment_then_cache(monkeypatch, tmp_path):
    monkeypatch.setenv("MIXLENS_DATA", str(tmp_path / "env"))
    assert data_root(tmp_path) == tmp_path
    assert data_root() == tmp_path / "env"
    monkeypatch.setenv("MIXLENS_DATA", "~/data")
    assert "~" not in str(data_root())
    monkeypatch.delenv("MIXLENS_DATA")
    assert data_root() == user_cache_path("mixlens") / "data"


@needs_data
def test_the_real_data():
    data = cifar10.load()
    assert data.train.images.shape == (50_000, 3, 32, 32)
    assert data.test.images.shape == (10_000, 3, 32, 32)
    assert data.train.images.is_contiguous()
    assert data.train.images.dtype == torch.uint8
    assert data.train.labels.bincount().tolist() == [5000] * 10
    assert data.test.labels.bincount().tolist() == [1000] * 10
    assert data.classes[0] == "airplane"
    assert data.classes[9] == "truck"
    # The mean of the published constants is that of the training images; channels in the wrong order would not give it.
    means = data.train.images.sum((0, 2, 3)) / (50_000 * 32 * 32 * 255)
    assert means.tolist() == pytest.approx(data.mean, abs=1e-4)
    assert data.test.images[0, :, 0, 0].tolist() == [158, 112, 49]
    assert data.test.labels[:5].tolist() == [3, 8, 8, 0, 6]
    declared = cifar10.SHAPE.stand_in("cifar10")
    for split, stands_in in ((data.train, declared.train), (data.test, declared.test)):
        assert split.images.shape == stands_in.images.shape
    assert (declared.classes, declared.mean, declared.std) == (data.classes, data.mean, data.std)


@needs_data
def test_status_of_the_real_data():
    files = cifar10.status()
    assert [file.path.name for file in files] == NAMES
    assert all(file.present and file.ok for file in files)


def test_an_absent_folder_names_everything_and_the_remedy(tmp_path, no_pickle):
    with pytest.raises(InputError) as caught:
        cifar10.load(tmp_path / "nowhere")
    message = str(caught.value)
    for expected in (
        str(tmp_path / "nowhere" / "cifar-10-batches-py"),
        *NAMES,
        "mixlens data cifar10 --fetch",
        "MIXLENS_DATA",
    ):
        assert expected in message
    assert "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz" in message
    assert not (tmp_path / "nowhere").exists()


def test_fake_files_are_never_unpickled(tmp_path, no_pickle):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    for name in NAMES[:-1]:
        (folder / name).write_bytes(pickle.dumps({"data": [], "labels": []}))
    with pytest.raises(InputError, match=r"missing batches.meta; wrong checksum of data_batch_1, .*test_batch"):
        cifar10.load(tmp_path)
    states = [(file.present, file.ok) for file in cifar10.status(tmp_path)]
    assert states == [(True, False)] * 6 + [(False, False)]


@needs_data
@pytest.mark.parametrize("name", ["data_batch_4", "test_batch"])
def test_one_changed_bit_stops_all_unpickling(whole, no_pickle, name):
    spoil(whole / "cifar-10-batches-py" / name)
    with pytest.raises(InputError, match=rf"in cifar-10-batches-py, wrong checksum of {name}\. Run"):
        cifar10.load(whole)


@needs_data
def test_changed_class_names_are_not_unpickled(whole, monkeypatch):
    path = whole / "cifar-10-batches-py" / "batches.meta"
    spoil(path)
    opened = []
    original = pickle.load
    monkeypatch.setattr(pickle, "load", lambda file, **rest: (opened.append(file.name), original(file, **rest))[1])
    with pytest.raises(InputError, match=r"wrong checksum of batches\.meta"):
        cifar10.load(whole)
    assert str(path) not in opened


@needs_data
def test_a_truncated_file(whole):
    path = whole / "cifar-10-batches-py" / "data_batch_2"
    content = path.read_bytes()
    path.unlink()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError, match=r"wrong checksum of data_batch_2"):
        cifar10.load(whole)


def test_a_file_in_place_of_the_folder(tmp_path):
    (tmp_path / "cifar-10-batches-py").write_text("not a folder")
    with pytest.raises(InputError, match="missing data_batch_1"):
        cifar10.load(tmp_path)


@pytest.mark.parametrize(
    "error", [URLError("no route to host"), RuntimeError("File not found or corrupted."), OSError(28, "full")]
)
def test_a_failed_download(tmp_path, monkeypatch, error):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(published, "download_and_extract_archive", fail)
    with pytest.raises(InputError, match=r"could not be fetched to .*mixlens data cifar10 --fetch") as caught:
        cifar10.fetch(tmp_path)
    assert caught.value.__cause__ is error


@needs_data
def test_download_fetches_nothing_when_all_is_there_and_mends_what_is_not(whole, monkeypatch):
    source = data_root() / "cifar-10-batches-py"
    calls = []

    def fake(url, root, filename, md5):
        calls.append((url, filename, md5))
        shutil.copy(source / "batches.meta", root / "cifar-10-batches-py" / "batches.meta")

    monkeypatch.setattr(published, "download_and_extract_archive", fake)
    cifar10.fetch(whole)
    assert calls == []
    (whole / "cifar-10-batches-py" / "batches.meta").unlink()
    cifar10.fetch(whole)
    assert len(cifar10.load(whole).train) == 50_000
    assert calls == [(cifar10.CIFAR10.url, "cifar-10-python.tar.gz", "c58f30108f718f92721af3b95e74349a")]
