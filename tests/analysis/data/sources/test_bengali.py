import builtins
import re

import numpy as np
import pyarrow
import pytest
from graphemes import HEIGHT, WIDTH, scans, write_all, write_images, write_labels

from mixlens.analysis.data.load import load_dataset
from mixlens.analysis.data.sources import bengali
from mixlens.analysis.data.sources.bengali import EDGE, MARGIN, fetch, load, moments, prepared, status
from mixlens.analysis.errors import InputError

COUNT = 48
PAPER = 250  # of a light scan


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    root = tmp_path_factory.mktemp("graphemes")
    write_all(root, COUNT)
    return root


@pytest.fixture(scope="module")
def loaded(whole):
    return load(whole, fold=1, folds=4)


@pytest.fixture
def linked(whole, tmp_path):
    """The folder of the files, which a test may replace."""
    folder = tmp_path / bengali.FOLDER
    folder.mkdir()
    for path in (whole / bengali.FOLDER).iterdir():
        (folder / path.name).symlink_to(path)
    return folder


def replaced(path):
    path.unlink()
    return path


# preparation


def scan(top, left, height, width, ink=200):
    """A light scan with a dark rectangle on it."""
    image = np.full((1, HEIGHT, WIDTH), PAPER, np.uint8)
    image[0, top : top + height, left : left + width] = 255 - ink
    return image


def test_a_box_of_the_final_size_comes_as_it_is_but_inverted():
    side = bengali.SIZE - 2 * MARGIN
    image = scan(40, 60, side, side)
    (out,) = prepared(image)
    box = np.s_[40 - MARGIN : 40 + side + MARGIN, 60 - MARGIN : 60 + side + MARGIN]
    np.testing.assert_array_equal(out, 255 - image[0][box])


def test_a_long_box_is_padded_with_nothing_above_and_below():
    (out,) = prepared(scan(60, 40, 12, 2 * bengali.SIZE - 2 * MARGIN))
    np.testing.assert_array_equal(out, out[::-1])
    np.testing.assert_array_equal(out, out[:, ::-1])
    profile, height = out[:, bengali.SIZE // 2], 12 // 2  # it shrinks to half
    assert profile.sum() == pytest.approx(height * 200 + (12 + 2 * MARGIN - 12) / 2 * (255 - PAPER), abs=10)
    assert not profile[: (bengali.SIZE - height) // 2 - MARGIN].any()


@pytest.mark.parametrize("place", [(0, 0), (0, 100), (60, 0), (HEIGHT - EDGE, 100), (60, WIDTH - EDGE)])
def test_lines_at_the_border_are_no_part_of_the_grapheme(place):
    image, lined = scan(40, 60, 52, 52), scan(40, 60, 52, 52)
    top, left = place
    lined[0, top : top + EDGE, left : left + EDGE] = 0
    np.testing.assert_array_equal(prepared(lined), prepared(image))


def test_a_grapheme_near_the_border_is_cut_there():
    (out,) = prepared(scan(EDGE, EDGE, 52, 52))
    assert (out > 100).sum() > (prepared(scan(40, 60, 52, 52)) > 100).sum(), "a margin that is not there is no room"


def test_a_blank_scan_stays_whole():
    (out,) = prepared(np.full((1, HEIGHT, WIDTH), PAPER, np.uint8))
    assert set(np.unique(out)) <= set(range(6))
    assert (out[bengali.SIZE // 2] == 255 - PAPER).all()
    assert not out[:10].any(), "padded to a square"


def test_the_prepared_images_of_a_batch_are_those_of_each():
    images, _ = scans(5)
    np.testing.assert_array_equal(prepared(images), np.concatenate([prepared(image[None]) for image in images]))


# the data set


@pytest.mark.slow
def test_images_have_their_own_labels_whatever_their_order(loaded):
    """The files hold them in another order than the table."""
    images, labels = scans(COUNT)
    expected = {image.tobytes(): tuple(label) for image, label in zip(prepared(images), labels.tolist(), strict=True)}
    assert len(expected) == COUNT
    found = {}
    for split in (loaded.train, loaded.test):
        found |= {
            image.numpy().tobytes(): tuple(label.tolist())
            for image, label in zip(split.images, split.labels, strict=True)
        }
    assert found == expected


def test_three_heads_with_their_names_and_the_competitions_weights(loaded):
    assert [head.name for head in loaded.heads] == ["root", "vowel", "consonant"]
    assert loaded.sizes == (168, 11, 7)
    assert [head.weight for head in loaded.heads] == [2, 1, 1]
    assert loaded.classes[:2] == ("g0", "g1")
    assert loaded.train.images.shape == (36, 1, 64, 64)
    assert loaded.test.labels.shape == (12, 3)


@pytest.mark.slow
def test_each_fold_has_its_share_of_every_root_and_the_folds_are_all(whole, loaded):
    other = load(whole, fold=0, folds=4)
    tests = [{image.numpy().tobytes() for image in one.test.images} for one in (loaded, other)]
    assert not tests[0] & tests[1]
    for one in (loaded, other):
        assert one.test.first.bincount().tolist() == [3, 3, 3, 3]
    assert loaded.checksum != other.checksum


def test_one_head_is_a_data_set_of_single_labels_with_the_same_folds(whole, loaded):
    vowel = load_dataset("bengali(head='vowel',fold=1,folds=4)", whole)
    assert vowel.name == "bengali(fold=1,folds=4,head='vowel')"
    assert (vowel.heads, len(vowel.classes)) == ((), 11)
    assert vowel.test.labels.tolist() == loaded.test.labels[:, 1].tolist()
    assert vowel.test.images.equal(loaded.test.images)


def test_moments_are_those_of_the_train_splits_pixels(loaded):
    pixels = loaded.train.images.double() / 255
    assert loaded.mean == (round(pixels.mean().item(), 4),)
    assert loaded.std == (round(pixels.std(correction=0).item(), 4),) == (moments(loaded.train.images)[1],)


# what goes wrong


def test_it_must_be_asked_for(tmp_path):
    with pytest.raises(
        InputError, match=r"cannot be fetched.*missing train.*https://www\.kaggle\.com/c/bengaliai-cv19/data"
    ):
        fetch(tmp_path)
    told = (
        r"missing train\.csv, class_map\.csv, train_image_data_0.*expected bengaliai-cv19/ with train\.csv, class_map"
    )
    with pytest.raises(InputError, match=told):
        load(tmp_path)


def test_whole_files_are_ok_and_nothing_is_fetched(whole):
    assert all(file.ok for file in status(whole))
    assert len(status(whole)) == 6
    fetch(whole)


def test_a_missing_part_is_named(linked):
    (linked / "train_image_data_2.parquet").unlink()
    with pytest.raises(InputError, match=r"missing train_image_data_2\.parquet\. They are had"):
        load(linked.parent)


@pytest.mark.parametrize("left", [0, 3, 1000, -8])
def test_a_truncated_part_is_named(linked, left):
    path = linked / "train_image_data_0.parquet"
    content = path.read_bytes()
    replaced(path).write_bytes(content[:left])
    assert [file.path.name for file in status(linked.parent) if not file.ok] == [path.name]
    with pytest.raises(InputError, match=r"cannot be used: cut off or damaged train_image_data_0\.parquet\. They"):
        load(linked.parent)


def test_damage_within_a_part_is_told(linked):
    path = linked / "train_image_data_0.parquet"
    content = bytearray(path.read_bytes())
    content[1000:30_000] = bytes(29_000)
    replaced(path).write_bytes(content)
    with pytest.raises(InputError, match=r"train_image_data_0\.parquet cannot be read, and may be cut off or damaged"):
        load(linked.parent)


def written(linked, **options):
    """The first file anew: its images, whose names and columns may be others'."""
    images, _ = scans(COUNT)
    names = [f"Train_{number}" for number in range(COUNT // 2)]
    path = replaced(linked / "train_image_data_0.parquet")
    write_images(path, options.pop("names", names), images[: COUNT // 2], **options)
    return linked.parent


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"columns": [f"p{pixel}" for pixel in range(HEIGHT * WIDTH)]}, "lacks the column 0; expected image_id and a"),
        ({"kind": np.int16}, "has int16 in its column 0; expected uint8"),
        pytest.param(
            {"names": ["Train_0"] * 24}, "the image Train_0 stands twice in the files", marks=pytest.mark.slow
        ),
        pytest.param(
            {"names": [f"Train_{n + 1}" for n in range(24)]},
            r"the image Train_24 stands twice.*train_image_data_1",
            marks=pytest.mark.slow,
        ),
        ({"names": [f"Test_{n}" for n in range(24)]}, r"the image Test_0 of train_image_data_0\.parquet has no row in"),
    ],
)
def test_another_content_of_a_part_is_told(linked, options, told):
    root = written(linked, **options)
    with pytest.raises(InputError, match=told):
        load(root)


def labelled(linked, change):
    """The table of labels anew, changed."""
    _, labels = scans(COUNT)
    names = [f"Train_{number}" for number in range(COUNT)]
    replaced(linked / "train.csv")
    write_labels(linked, *change(names, labels))
    return linked.parent


def test_a_row_without_its_image_and_an_image_without_its_row(linked):
    root = labelled(linked, lambda names, labels: ([*names, "Train_99"], np.append(labels, [[0, 0, 0]], 0)))
    with pytest.raises(InputError, match=r"1 of the 49 rows of train\.csv have no image .* such as Train_99"):
        load(root)
    root = labelled(linked, lambda names, labels: (names[1:], labels[1:]))
    with pytest.raises(InputError, match=r"the image Train_0 of train_image_data_0\.parquet has no row in train\.csv"):
        load(root)


@pytest.mark.parametrize(("column", "label"), [(0, 168), (1, 11), (2, 7), (2, -1)])
def test_labels_outside_their_head_are_told(linked, column, label):
    def change(names, labels):
        labels[5, column] = label
        return names, labels

    name = list(bengali.HEADS.values())[column][0]
    with pytest.raises(InputError, match=rf"gives the image Train_5 the {name} {label}, which has classes 0 to"):
        load(labelled(linked, change))


@pytest.mark.parametrize(
    ("file", "old", "new", "told"),
    [
        ("train.csv", "vowel_diacritic", "vowel", r"train\.csv lacks the column vowel_diacritic; it has image_id, gr"),
        ("train.csv", "Train_7,3", "Train_7,three", "gives the image Train_7 the grapheme_root three"),
        ("train.csv", "Train_8,", "Train_7,", "has two rows of the image Train_7"),
        (
            "class_map.csv",
            "vowel_diacritic,10",
            "vowel_diacritic,11",
            "has 11 labels of vowel_diacritic; expected 0 to",
        ),
        ("class_map.csv", "component\n", "glyph\n", r"class_map\.csv lacks the column component"),
    ],
)
def test_another_content_of_a_table_is_told(linked, file, old, new, told):
    text = (linked / file).read_text()
    assert old in text
    replaced(linked / file).write_text(text.replace(old, new, 1))
    with pytest.raises(InputError, match=told):
        load(linked.parent)


def test_a_table_that_is_none(linked):
    replaced(linked / "train.csv").write_text("")
    with pytest.raises(InputError, match=r"train\.csv cannot be read as a table"):
        load(linked.parent)


def test_without_pyarrow_its_extra_is_named(whole, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name.partition(".")[0] == pyarrow.__name__:
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InputError, match=re.escape("pip install 'mixlens[parquet]'")):
        next(bengali._parts(whole, bengali.IMAGES[0]))


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"head": "stem"}, "head='stem'; expected root, vowel, consonant"),
        ({"fold": 5}, "fold=5 of folds=5; expected 0 to folds − 1"),
        ({"fold": -1}, "fold=-1 of folds=5"),
        ({"folds": 1}, "fold=0 of folds=1"),
        ({"fold": 0.0}, r"fold=0\.0"),
        ({"folds": 25}, "48 images cannot be cut in 25 folds"),
    ],
)
def test_parts_that_there_are_not(whole, arguments, told):
    with pytest.raises(InputError, match=told):
        load(whole, **arguments)
