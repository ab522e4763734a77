"""The manifest of a folder: made once, kept, and made anew where a file has changed."""

import errno
import hashlib
import os

import numpy as np
import pytest
from pictures import class_folders, save

from mixlens.analysis.data import manifest as module
from mixlens.analysis.data.class_folders import class_files
from mixlens.analysis.data.manifest import make_manifest, problems_in_words
from mixlens.analysis.errors import InputError

NAMES = ["cat", "dog"]


@pytest.fixture
def folder(tmp_path):
    return class_folders(tmp_path / "pictures", NAMES, each=4)


@pytest.fixture
def looked_at(monkeypatch):
    """The names of the files that are looked into, by each call."""
    found = []
    examine = module._examine

    def noted(folder, kept, missing, path):
        found.append([os.fsdecode(name) for name in kept.arrays["name"][missing]])
        examine(folder, kept, missing, path)

    monkeypatch.setattr(module, "_examine", noted)
    return found


def made(folder):
    return make_manifest(folder, class_files(folder, "", NAMES), folder.parent / "data")


def test_it_says_what_each_file_is(folder):
    save(folder / "cat" / "wide.png", width=70)
    files = made(folder).files
    for row in range(9):
        with open(files.path(row), "rb") as file:
            assert files.hashes[row].tobytes() == hashlib.sha256(file.read()).digest()
    assert files.widths.tolist() == [40, 40, 40, 40, 70, 40, 40, 40, 40]
    assert set(files.heights.tolist()) == {32}


def test_it_is_made_once_and_only_what_changed_is_looked_at_again(folder, looked_at):
    first = made(folder)
    assert [len(names) for names in looked_at] == [8]
    again = made(folder)
    assert len(looked_at) == 1
    assert np.array_equal(first.files.hashes, again.files.hashes)
    save(folder / "cat" / "2.jpg", seed=77)
    save(folder / "cat" / "10.jpg", seed=78)
    (folder / "dog" / "0.jpg").unlink()
    changed = made(folder)
    assert looked_at[1:] == [["cat/10.jpg", "cat/2.jpg"]]
    assert len(changed.files.names) == 8
    names = changed.files.names.tolist()
    assert (changed.files.hashes[names.index(b"cat/1.jpg")] == first.files.hashes[1]).all()
    assert (changed.files.hashes[names.index(b"cat/2.jpg")] != first.files.hashes[2]).any()


def test_a_file_of_the_same_size_that_is_newer_is_looked_at_again(folder, looked_at):
    made(folder)
    os.utime(folder / "dog" / "1.jpg", ns=(1, 10**18))
    made(folder)
    assert looked_at[1] == ["dog/1.jpg"]


def test_damaged_files_are_counted_and_named_also_when_they_are_known(folder, looked_at):
    for number in range(4):
        path = folder / "dog" / f"{number}.jpg"
        path.write_bytes(path.read_bytes()[:-200])
    for found in (made(folder), made(folder)):
        assert sorted(found.problems) == [4, 5, 6, 7]
        words = problems_in_words(found)
        assert words.startswith(f"4 of 8 image files in {folder} cannot be read: dog/0.jpg (image file is truncated")
        assert words.endswith(" and 1 more")
    assert len(looked_at) == 1
    save(folder / "dog" / "0.jpg")
    assert sorted(made(folder).problems) == [5, 6, 7]


@pytest.mark.parametrize("damage", [lambda content: content[:200], lambda content: b"", lambda content: b"x" * 500])
def test_a_damaged_manifest_is_made_anew(folder, looked_at, damage):
    first = made(folder)
    (path,) = (folder.parent / "data" / "manifests").glob("*.npz")
    path.write_bytes(damage(path.read_bytes()))
    assert np.array_equal(made(folder).files.hashes, first.files.hashes)
    assert len(looked_at) == 2


def test_what_was_done_before_an_interrupt_is_kept(folder, looked_at, monkeypatch):
    monkeypatch.setattr(module, "AT_ONCE", 2)
    fill, calls = module._fill, iter(range(2))

    def interrupted(*given):
        if next(calls, None) is None:
            raise KeyboardInterrupt
        fill(*given)

    with monkeypatch.context() as patched:
        patched.setattr(module, "_fill", interrupted)
        with pytest.raises(KeyboardInterrupt):
            made(folder)
    made(folder)
    assert [len(names) for names in looked_at] == [8, 4]


def test_a_full_disk_is_one_message_and_leaves_nothing_half_written(folder, monkeypatch):
    def full(file, **arrays):
        file.write(b"PK")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(InputError, match=r"cannot be kept as .*No space left on device.*--data-root"):
        made(folder)
    assert not list((folder.parent / "data" / "manifests").glob("*.partial"))
    monkeypatch.undo()
    assert not made(folder).problems


def test_data_that_may_not_be_written_have_theirs_in_the_users_cache(folder, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "user_cache_path", lambda name: tmp_path / "cache")
    monkeypatch.setattr(module.os, "access", lambda path, mode: "cache" in str(path))
    made(folder)
    assert [path.name.partition("-")[0] for path in (tmp_path / "cache" / "manifests").glob("*.npz")] == ["pictures"]
