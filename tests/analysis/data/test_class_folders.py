"""Folders of images, one a class: torchvision's order and endings, and a message for each that cannot be one."""

import os

import numpy as np
import pytest
from pictures import class_folders, save
from torchvision.datasets import ImageFolder

from mixlens.analysis.data.class_folders import check_same_classes, class_files, class_names, together
from mixlens.analysis.errors import InputError


@pytest.fixture
def folder(tmp_path):
    return class_folders(tmp_path / "pictures", ("b", "a", "Ärger"), each=3)


def test_files_and_labels_are_torchvisions(folder):
    save(folder / "a" / "deep" / "er" / "x.PNG")
    (folder / "a" / "notes.txt").write_text("no image")
    (folder / "a" / ".hidden.jpg").write_text("no image")
    (folder / ".git").mkdir()
    names = class_names(folder)
    files = class_files(folder, "", names)
    theirs = ImageFolder(str(folder)) if not (folder / ".git").rmdir() else None
    assert names == theirs.classes
    ours = [(os.path.join(folder, os.fsdecode(name)), label) for name, label in zip(*files[:2], strict=True)]
    assert sorted(ours) == sorted((path, label) for path, label in theirs.samples if "/." not in path)
    assert files.sizes.tolist() == [os.path.getsize(path) for path, _ in ours]
    assert files.labels.dtype == np.int64


def test_parts_lie_one_after_the_other(folder):
    first, second = (class_files(folder, "", [name], [label]) for name, label in (("a", 4), ("b", 2)))
    both = together(first, second)
    assert both.labels.tolist() == [4] * 3 + [2] * 3
    assert both.names.tolist() == [*first.names.tolist(), *second.names.tolist()]


def test_an_empty_class_is_named_with_what_is_there_in_stead(folder):
    (folder / "empty").mkdir()
    with pytest.raises(InputError, match=r"class empty in .* holds no image; images end in \.jpg"):
        class_files(folder, "", class_names(folder))
    (folder / "empty" / "a.heic").write_bytes(b"x")
    with pytest.raises(InputError, match=r"but others, such as a\.heic"):
        class_files(folder, "", class_names(folder))
    for name in "cdef":
        (folder / name).mkdir()
    with pytest.raises(InputError, match=r"5 classes, c, d, e and 2 more in .* hold no image"):
        class_files(folder, "", class_names(folder))


def test_a_link_into_itself_is_no_class_without_end(folder):
    (folder / "a" / "again").symlink_to(folder, target_is_directory=True)
    with pytest.raises(InputError, match=r"again/a is a link to a folder that it lies in, without end"):
        class_files(folder, "", ["a"])


def test_links_to_files_and_folders_elsewhere_are_followed(folder, tmp_path):
    save(tmp_path / "elsewhere" / "x.jpg")
    (folder / "a" / "link").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    (folder / "a" / "y.jpg").symlink_to(tmp_path / "elsewhere" / "x.jpg")
    assert len(class_files(folder, "", ["a"]).names) == 5
    (folder / "a" / "z.jpg").symlink_to(tmp_path / "nowhere.jpg")
    with pytest.raises(InputError, match=r"z\.jpg cannot be read: No such file"):
        class_files(folder, "", ["a"])


def test_folders_that_hold_no_folders_or_are_none(tmp_path):
    with pytest.raises(InputError, match="holds no folders; expected one for each class"):
        class_names(tmp_path)
    with pytest.raises(InputError, match="nowhere cannot be read: No such file"):
        class_names(tmp_path / "nowhere")


def test_both_splits_have_the_same_classes(tmp_path):
    class_folders(tmp_path / "train", ("a", "b"))
    class_folders(tmp_path / "val", ("a", "b"))
    assert check_same_classes(tmp_path, "train", "val") == ["a", "b"]
    class_folders(tmp_path / "val", ("c",))
    with pytest.raises(InputError, match="class c in val has no folder in train"):
        check_same_classes(tmp_path, "train", "val")
    class_folders(tmp_path / "train", ("c", "d"))
    with pytest.raises(InputError, match="class d in train has no folder in val"):
        check_same_classes(tmp_path, "train", "val")
