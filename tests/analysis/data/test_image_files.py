"""Images in files stand where a tensor of them would."""

import numpy as np
import pytest
import torch
from pictures import class_folders, save

from mixlens.analysis.data import image_files as module
from mixlens.analysis.data.class_folders import class_files
from mixlens.analysis.data.dataset import Dataset, Evaluation, Split, checksum_of
from mixlens.analysis.data.decoder import evaluation_crop
from mixlens.analysis.data.image_files import ImageFiles, resident
from mixlens.analysis.data.manifest import make_manifest
from mixlens.analysis.errors import InputError

COUNT, SIZE = 12, 16


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = class_folders(tmp_path_factory.mktemp("pictures"), ending="png")
    return make_manifest(folder, class_files(folder, "", ["cat", "dog"]), folder / "data").files


@pytest.fixture
def images(files):
    return ImageFiles(files, torch.arange(COUNT), SIZE)


@pytest.fixture
def tensor(files):
    return torch.stack(
        [torch.from_numpy(np.array(evaluation_crop(files.path(row), SIZE))).permute(2, 0, 1) for row in range(COUNT)]
    )


def test_it_looks_like_the_tensor(images, tensor):
    assert (images.shape, images.ndim, images.dtype, images.device, len(images)) == (
        tensor.shape,
        tensor.ndim,
        tensor.dtype,
        tensor.device,
        len(tensor),
    )
    assert images.cpu() is images


@pytest.mark.parametrize(
    "which",
    [
        3,
        -1,
        slice(None),
        slice(2, 9, 3),
        slice(0, 0),
        torch.tensor([5, 5, 0]),
        torch.arange(COUNT) % 2 == 0,
        torch.tensor([], dtype=torch.int64),
    ],
    ids=str,
)
def test_it_is_indexed_like_the_tensor(images, tensor, which):
    assert torch.equal(images[which], tensor[which])
    if not isinstance(which, int) and len(tensor[which]):
        assert torch.equal(images.at(which)[:], tensor[which])


def test_it_is_split_and_moved_like_the_tensor(images, tensor):
    for ours, theirs in zip(images.split(5), tensor.split(5), strict=True):
        assert torch.equal(ours, theirs)
    assert torch.equal(images.to("cpu"), tensor)


def test_what_memory_does_not_hold_is_refused(images, files, monkeypatch):
    monkeypatch.setattr(module, "_memory", lambda: 2.0 * COUNT * 3 * SIZE**2 - 2)
    with pytest.raises(InputError, match=r"12 images of 16×16 pixels would take .* size=…"):
        images[:]
    assert len(images[:4]) == 4
    with pytest.raises(InputError, match="12 images of 40×32 pixels"):
        resident(files, torch.arange(COUNT))


def test_images_of_one_size_can_be_had_whole(files):
    images = resident(files, torch.tensor([7, 1]))
    assert images.shape == (2, 3, 32, 40)
    assert images.is_contiguous()


def dataset(train, test, **more):
    labels = torch.arange(COUNT) % 2
    return Dataset("d", Split(train, labels[: len(train)]), Split(test, labels[: len(test)]), ("a", "b"), **more)


STATS = {"mean": (0.5,) * 3, "std": (0.25,) * 3}


def test_a_data_set_of_files_is_cut_and_known_by_their_hashes(files):
    rows = torch.arange(COUNT)
    data = dataset(ImageFiles(files, rows[:8], SIZE), ImageFiles(files, rows[8:], SIZE), **STATS)
    assert isinstance(data.subset(4, 0).train.images, ImageFiles)
    assert isinstance(data.fold(0, 4, 0).test.images, ImageFiles)
    few = torch.tensor([3, 1])
    assert isinstance(data.train.take(few).images, ImageFiles)
    assert torch.equal(data.train.in_memory(few).images, data.train.images[few])
    assert torch.equal(data.train.in_memory(few).labels, data.train.labels[few])
    assert not data.shared().any()
    assert len(data.subset(4, 0).train.images[:]) == 4
    others = dataset(ImageFiles(files, rows[:8], SIZE), ImageFiles(files, rows[7:11], SIZE), **STATS)
    assert others.shared().nonzero().flatten().tolist() == [7]
    assert len(others.apart().train) == 7
    same = dataset(ImageFiles(files, rows[:8], SIZE), ImageFiles(files, rows[8:], SIZE), **STATS)
    larger = dataset(ImageFiles(files, rows[:8], 20), ImageFiles(files, rows[8:], 20), **STATS)
    assert data.checksum == same.checksum
    assert len({data.checksum, others.checksum, larger.checksum, data.apart().subset(4, 0).checksum}) == 4


def test_what_it_is_measured_on_besides_is_no_part_of_its_checksum(files):
    rows = torch.arange(COUNT)
    parts = ImageFiles(files, rows[:8], SIZE), ImageFiles(files, rows[8:], SIZE)
    other = Evaluation(Split(parts[1], torch.zeros(4, dtype=torch.int64)), (0,))
    assert dataset(*parts, **STATS).checksum == dataset(*parts, **STATS, others={"x": other}).checksum
    assert checksum_of(other) != checksum_of(other._replace(among=(0, 1)))


def test_each_image_is_cut_within_its_own_sides(tmp_path):
    for number in range(20):
        width, height = (12, 90) if number % 2 else (90, 12)
        save(tmp_path / "p" / "cat" / f"{number:02}.png", number, width, height)
    files = make_manifest(tmp_path / "p", class_files(tmp_path / "p", "", ["cat"]), tmp_path).files
    which = torch.randperm(20, generator=torch.Generator().manual_seed(0))
    wanted = ImageFiles(files, torch.arange(20), 8).cut(which, torch.Generator().manual_seed(0))
    for path, (left, top, right, bottom) in zip(wanted.paths, wanted.boxes, strict=True):
        width, height = (12, 90) if int(path[-6:-4]) % 2 else (90, 12)
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
