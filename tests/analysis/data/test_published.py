"""Data sets that torchvision reads, on small files of their true formats."""

import gzip
import hashlib
import os
import pickle
import struct
from urllib.error import URLError

import numpy as np
import pytest
import torch
from torchvision.datasets import CIFAR100

from mixlens.analysis.data import published
from mixlens.analysis.data.load import load_dataset, source_names
from mixlens.analysis.data.sources import cifar100, fashion_mnist
from mixlens.analysis.errors import InputError

needs_data = pytest.mark.skipif(not os.environ.get("MIXLENS_DATA"), reason="needs Fashion-MNIST: set MIXLENS_DATA")
FASHION = fashion_mnist.load.__self__


def md5(content):
    return hashlib.md5(content).hexdigest()


@pytest.fixture
def cifar(tmp_path):
    """CIFAR-100's files with 200 and 100 images, and the source that knows their checksums."""
    rng = np.random.default_rng(0)

    def batch(count):
        fine = [number % 100 for number in range(count)]
        coarse = [number // 5 for number in fine]
        pixels = rng.integers(0, 256, (count, 3072), dtype=np.uint8)
        return {"data": pixels, "fine_labels": fine, "coarse_labels": coarse, "filenames": [b""] * count}

    content = {
        "train": pickle.dumps(batch(200)),
        "test": pickle.dumps(batch(100)),
        "meta": pickle.dumps(
            {"fine_label_names": [f"name {number}" for number in range(100)], "coarse_label_names": ["c"] * 20}
        ),
    }
    (tmp_path / "cifar-100-python").mkdir()
    for name, each in content.items():
        (tmp_path / "cifar-100-python" / name).write_bytes(each)

    lists = {f"{name}_list": [[name, md5(content[name])]] for name in ("train", "test")}
    small = type("Small", (CIFAR100,), lists | {"meta": {**CIFAR100.meta, "md5": md5(content["meta"])}})
    return published.cifar("cifar100", "CIFAR-100", small, cifar100.SHAPE), tmp_path, pickle.loads(content["train"])


def idx(array):
    return struct.pack(">BBBB", 0, 0, 8, array.ndim) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def fashion(tmp_path):
    """Fashion-MNIST's files with 20 and 10 images."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", 20), ("t10k", 10)):
        arrays[f"{split}-images-idx3-ubyte"] = rng.integers(0, 256, (count, 28, 28), dtype=np.uint8)
        arrays[f"{split}-labels-idx1-ubyte"] = np.arange(count, dtype=np.uint8) % 10
    folder = tmp_path / "FashionMNIST" / "raw"
    folder.mkdir(parents=True)
    for name, array in arrays.items():
        (folder / name).write_bytes(idx(array))
    files = {name: md5(idx(array)) for name, array in arrays.items()}
    return FASHION._replace(files=files), tmp_path, arrays


def test_cifar100_has_its_fine_classes_and_pixels_in_their_places(cifar):
    source, root, batch = cifar
    data = source.load(root)
    assert data.name == "cifar100"
    assert data.classes == tuple(f"name {number}" for number in range(100))
    assert data.train.images.shape == (200, 3, 32, 32)
    assert data.test.images.shape == (100, 3, 32, 32)
    assert data.train.labels.tolist() == batch["fine_labels"]
    assert torch.equal(data.train.images.flatten(1), torch.from_numpy(batch["data"]))


def test_fashion_mnist_is_grey(fashion):
    source, root, arrays = fashion
    data = source.load(root)
    assert data.train.images.shape == (20, 1, 28, 28)
    assert torch.equal(data.test.images[:, 0], torch.from_numpy(arrays["t10k-images-idx3-ubyte"]))
    assert data.train.labels.tolist() == arrays["train-labels-idx1-ubyte"].tolist()


@pytest.mark.parametrize("which", ["cifar", "fashion"])
@pytest.mark.parametrize("harm", ["missing", "changed", "cut", "empty", "a folder"])
def test_a_file_that_is_not_the_published_one_is_named_and_not_read(which, harm, request, monkeypatch):
    source, root, _ = request.getfixturevalue(which)
    monkeypatch.setattr(pickle, "load", lambda *args, **rest: pytest.fail("unpickled"))
    name = list(source.files)[1]
    path = root / source.folder / name
    content = path.read_bytes()
    path.unlink()
    if harm == "a folder":
        path.mkdir()
    elif harm != "missing":
        middle = len(content) // 2
        changed = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
        path.write_bytes({"changed": changed, "cut": content[:middle], "empty": b""}[harm])
    word = "missing" if harm in ("missing", "a folder") else "wrong checksum of"
    with pytest.raises(InputError, match=rf"{word} {name}\. Run `mixlens data {source.name} --fetch`"):
        source.load(root)
    states = [(file.present, file.ok) for file in source.status(root)]
    assert states.count((True, True)) == len(source.files) - 1


@pytest.mark.parametrize("which", ["cifar", "fashion"])
def test_what_is_whole_is_not_fetched_again_and_a_failed_download_is_one_message(which, request):
    source, root, _ = request.getfixturevalue(which)

    def fail(folder):
        raise URLError("no route to host")

    source._replace(download=fail).fetch(root)
    (root / source.folder / next(iter(source.files))).unlink()
    with pytest.raises(InputError, match=r"could not be fetched to .*no route to host"):
        source._replace(download=fail).fetch(root)


def test_fashion_mnists_archives_are_unpacked_where_they_are_read(fashion, monkeypatch, tmp_path):
    source, _, arrays = fashion
    told = []

    def fake(url, folder, filename, md5):
        told.append((url, md5))
        folder.mkdir(parents=True, exist_ok=True)
        content = gzip.decompress(gzip.compress(idx(arrays[filename.removesuffix(".gz")])))
        (folder / filename.removesuffix(".gz")).write_bytes(content)

    monkeypatch.setattr(fashion_mnist, "download_and_extract_archive", fake)
    source.fetch(tmp_path / "new")
    assert len(source.load(tmp_path / "new").train) == 20
    assert len(told) == 4
    assert all(url.endswith(".gz") and len(digest) == 32 for url, digest in told)


@needs_data
def test_the_real_fashion_mnist():
    data = load_dataset("fashion_mnist")
    assert data.train.labels.bincount().tolist() == [6000] * 10
    assert data.test.labels.bincount().tolist() == [1000] * 10
    pixels = data.train.images.double() / 255
    assert pixels.mean().item() == pytest.approx(fashion_mnist.MEAN[0], abs=1e-4)
    assert pixels.std().item() == pytest.approx(fashion_mnist.STD[0], abs=1e-4)
    assert not data.shared().any(), "the later revision has no image in both splits"
    declared = fashion_mnist.SHAPE.stand_in("fashion_mnist")
    assert declared.train.images.shape == data.train.images.shape
    assert declared.test.images.shape == data.test.images.shape


def test_they_are_known_by_their_names():
    assert {"cifar10", "cifar100", "fashion_mnist"} <= set(source_names())
