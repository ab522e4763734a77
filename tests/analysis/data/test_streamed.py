"""Batches from files: the protocol of `Batches`, the same whatever decodes them, in flat memory."""

import gc
import os
import re
from pathlib import Path

import pytest
import torch
from pictures import class_folders

from mixlens.analysis.data.class_folders import class_files
from mixlens.analysis.data.dataset import Split
from mixlens.analysis.data.decoder import training_crop
from mixlens.analysis.data.decoders import decoders, use
from mixlens.analysis.data.image_files import ImageFiles
from mixlens.analysis.data.loader import Transforms, flip, normalise
from mixlens.analysis.data.manifest import make_manifest
from mixlens.analysis.data.streamed import Streamed
from mixlens.analysis.errors import InputError

STATS = ((0.4, 0.5, 0.6), (0.2, 0.25, 0.3))


@pytest.fixture(scope="module")
def split(tmp_path_factory):
    folder = class_folders(tmp_path_factory.mktemp("pictures"), each=13)
    files = class_files(folder, "", ["cat", "dog"])
    listed = make_manifest(folder, files, folder / "data").files
    return Split(ImageFiles(listed, torch.arange(26), 16), torch.arange(26))  # labels tell which image it is


def batches(split, size=8, seed=0, **options):
    return Streamed(split, *STATS, size, generator=torch.Generator().manual_seed(seed), shuffle=True, **options)


def test_an_epoch_has_each_image_once_in_an_order_of_its_own(split):
    streamed = batches(split, 8, transforms=Transforms(flip=True), channels_last=True)
    first, second = ([y for _, y in streamed] for _ in range(2))
    assert len(streamed) == 4
    assert [len(y) for y in first] == [8, 8, 8, 2]
    assert torch.cat(first).sort().values.tolist() == torch.cat(second).sort().values.tolist() == list(range(26))
    assert not torch.equal(torch.cat(first), torch.cat(second))
    x, _ = next(iter(streamed))
    assert x.dtype == torch.float32
    assert x.is_contiguous(memory_format=torch.channels_last)
    assert x.shape == (8, 3, 16, 16)


def test_a_last_image_joins_the_batch_before_it(split):
    assert [len(y) for _, y in batches(split, 5)] == [5, 5, 5, 5, 6]
    for size in (1, 27):
        with pytest.raises(InputError, match=f"batch size {size} for a split of 26"):
            batches(split, size)


def test_results_do_not_depend_on_how_many_decode(split):
    found = []
    for count in (1, 3):
        use(count)
        found.append([x for x, _ in batches(split, transforms=Transforms(flip=True))])
    use(None)
    decoders()
    assert all(torch.equal(one, other) for one, other in zip(*found, strict=True))


def test_the_generator_alone_says_what_comes_next(split):
    """So that a training that goes on from a checkpoint sees what it would have seen."""
    streamed = batches(split)
    for _ in streamed:
        pass
    again = batches(split)
    again.generator.set_state(streamed.generator.get_state())
    for (x, y), (other, labels) in zip(streamed, again, strict=True):
        assert torch.equal(x, other)
        assert torch.equal(y, labels)


def test_flips_alone_are_added_and_draw_nothing_else(split):
    plain, flipped = (
        torch.cat([x for x, _ in batches(split, transforms=Transforms(flip=which))]) for which in (False, True)
    )
    mirrored = (flipped == flip(plain, torch.ones(26, dtype=torch.bool))).flatten(1).all(1)
    same = (flipped == plain).flatten(1).all(1)
    assert (mirrored ^ same).all()
    assert 4 < mirrored.sum() < 22


def test_whole_boxes_are_the_images_and_are_normalised(split, monkeypatch):
    monkeypatch.setattr(
        "mixlens.analysis.data.image_files.random_boxes",
        lambda widths, heights, generator: torch.tensor([[0, 0, 40, 32]]).expand(len(widths), 4),
    )
    x, y = next(iter(batches(split)))
    files = split.images.files
    expected = torch.stack(
        [
            torch.frombuffer(bytearray(training_crop(files.path(row), 16, (0, 0, 40, 32)).tobytes()), dtype=torch.uint8)
            for row in y.tolist()
        ]
    )
    assert torch.equal(x, normalise(expected.view(-1, 16, 16, 3).permute(0, 3, 1, 2), *STATS))


def test_a_file_that_has_gone_is_named(tmp_path):
    folder = class_folders(tmp_path / "p", each=4)
    listed = make_manifest(folder, class_files(folder, "", ["cat", "dog"]), tmp_path).files
    (folder / "dog" / "2.jpg").unlink()
    with pytest.raises(InputError, match=r"dog/2\.jpg cannot be read: .*No such file"):
        list(batches(Split(ImageFiles(listed, torch.arange(8), 16), torch.zeros(8, dtype=torch.int64)), 4))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads Linux's count of a process's memory")
@pytest.mark.slow
def test_memory_is_flat_over_an_epoch(split):
    """Batches of 6 MB of bytes and 25 MB of numbers: were they kept, it would be more than a gigabyte."""
    images = ImageFiles(split.images.files, torch.arange(26).repeat(200)[: 40 * 128], 128)
    streamed = batches(Split(images, torch.zeros(len(images), dtype=torch.int64)), 128)

    def megabytes():
        gc.collect()
        text = Path(f"/proc/{os.getpid()}/status").read_text()
        return int(re.search(r"VmRSS:\s*(\d+)", text)[1]) / 1024

    seen = []
    for number, _ in enumerate(streamed):
        if number % 5 == 0:
            seen.append(megabytes())
    assert max(seen[2:]) - seen[1] < 150, seen
