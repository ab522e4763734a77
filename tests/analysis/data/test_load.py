from pathlib import Path

import pytest
import torch

from mixlens.analysis.data import sources
from mixlens.analysis.data.files import DataFile
from mixlens.analysis.data.load import find_source, load_dataset, source_names
from mixlens.analysis.errors import InputError

GOOD = """
import numpy as np
from mixlens.analysis.data.dataset import Dataset, Split

def parts():
    images, labels = np.zeros((4, 1, 2, 2), np.uint8), np.array([0, 1, 0, 1], np.int32)
    return {"train_images": images, "train_labels": labels, "test_images": images, "test_labels": labels,
            "classes": ["x", "y"], "mean": [0.5], "std": np.array([0.25])}

def whole():
    half = Split.of(parts()["train_images"], parts()["train_labels"])
    return Dataset("mine", half, half, ("x", "y"), (0.5,), (0.25,))

def misspelt():
    made = parts(); made["trian_images"] = made.pop("train_images"); return made

def short():
    made = parts(); del made["classes"], made["std"]; return made

def odd():
    return {**parts(), "mean": 0.5}

def noisy():
    return {**parts(), "test_labels": [0, 1, 7, 0]}

def headed():
    labels = np.stack([parts()["train_labels"], [2, 1, 0, 2]], 1)
    classes = {"tone": "xy", "size": ["s", "m", "l"]}
    return {**parts(), "train_labels": labels, "test_labels": labels, "classes": classes}

def headless():
    return {**parts(), "classes": {"tone": "xy", "size": "sml"}}

def triple():
    return 1, 2, 3

def voted():
    return {**parts(), "human": [[1, 2]] * 4}

def of_year(year, half=False):
    return {**parts(), "mean": [year / 4000]}

def fails():
    raise OSError("disk on fire")

def fails_well():
    from mixlens.analysis.errors import InputError
    raise InputError("set MY_FOLDER")

value = 3
"""


@pytest.fixture
def own(here):
    """A user's module, `data_mine`, in the current folder."""
    (here / "data_mine.py").write_text(GOOD)


def test_own_data_set_as_dataset_or_dict(own):
    whole, parts = load_dataset("data_mine:whole"), load_dataset("data_mine:parts")
    assert (whole.name, parts.name) == ("mine", "data_mine:parts")
    assert whole.checksum == parts.checksum


def test_own_data_set_of_several_heads(own):
    data = load_dataset("data_mine:headed")
    assert [(head.name, head.classes, head.weight) for head in data.heads] == [
        ("tone", ("x", "y"), 1.0),
        ("size", ("s", "m", "l"), 1.0),
    ]
    assert data.train.labels.tolist() == [[0, 2], [1, 1], [0, 0], [1, 2]]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("misspelt", r"'trian_images'. Did you mean 'train_images'\?"),
        ("short", "lacks classes, std"),
        ("odd", "not iterable.*mean and std as lists of numbers"),
        ("noisy", "'data_mine:noisy', test split: label 7 at index 2"),
        ("headless", r"train split: labels of shape \(4,\) for 4 images; expected \(4, 2\)"),
        ("triple", "returned tuple; expected a Dataset or a dict with the keys train_images"),
        ("fails", "failed with OSError: disk on fire"),
        ("fails_well", "^data set 'data_mine:fails_well': set MY_FOLDER$"),
        ("voted", r"'human': votes are the calibration section's.*--calibration\.counts"),
        ("of_year", "missing a required argument: 'year'"),
        ("of_year(year=1,month=2)", "unexpected keyword argument 'month'"),
        ("of_year(year)", r"cannot read data set .*name\(key=value"),
        ("value", "expected a function to call, found int"),
        ("hole", r"Did you mean 'whole'\?"),
    ],
)
def test_own_data_set_that_goes_wrong(own, name, told):
    with pytest.raises(InputError, match=told):
        load_dataset(f"data_mine:{name}")


def test_the_cause_is_chained(own):
    with pytest.raises(InputError) as caught:
        load_dataset("data_mine:fails")
    assert isinstance(caught.value.__cause__, OSError)


def test_unknown_name_gets_the_nearest_and_the_other_form():
    with pytest.raises(InputError, match=r"'cifar'. Did you mean 'cifar10'\?.*photos.*package\.module:factory"):
        load_dataset("cifar")


def test_built_in_names():
    assert load_dataset("photos").name == "photos"


def test_a_factory_takes_arguments_and_its_data_are_named_with_them(own):
    data = load_dataset("data_mine:of_year( year = 2020, half=True)")
    assert data.name == "data_mine:of_year(half=True,year=2020)"
    assert data.mean == (0.505,)
    assert data.checksum != load_dataset("data_mine:of_year(year=2000)").checksum


# sources


def test_every_file_of_sources_is_one():
    files = {path.stem for path in Path(sources.__file__).parent.glob("*.py")} - {"__init__"}
    assert set(source_names()) == files
    for name in source_names():
        source = find_source(name)
        assert source.ABOUT
        assert "\n" not in source.ABOUT
        assert all(callable(getattr(source, part)) for part in ("status", "fetch", "load"))


def test_an_absent_source_says_so_and_fetches_nothing(tmp_path):
    for name in source_names():
        states = find_source(name).status(tmp_path)
        assert states or name == "folder"
        assert all(isinstance(file, DataFile) and file.ok <= file.present for file in states)
    assert not list(tmp_path.iterdir())


def test_votes_are_no_data_set_to_train_on(tmp_path, monkeypatch):
    monkeypatch.setattr(find_source("cifar10h"), "load", lambda root=None: torch.zeros(3, 2))
    with pytest.raises(InputError, match="cifar10h is no data set to train on: people's votes"):
        load_dataset("cifar10h", tmp_path)


def test_a_source_takes_no_arguments():
    with pytest.raises(InputError, match=r"data set 'photos\(size=3\)': photos takes no arguments"):
        load_dataset("photos(size=3)")


def test_what_a_spec_may_give_a_source_are_its_keyword_only_parameters(tmp_path, monkeypatch):
    photos, got = find_source("photos").load(), []

    def load(root=None, *, of, fold=0):
        got.append((root, of, fold))
        return photos

    monkeypatch.setattr(find_source("photos"), "load", load)
    assert load_dataset("photos(of='x', fold=2)", tmp_path).name == "photos(fold=2,of='x')"
    assert load_dataset("photos(fold=0,of='x')", tmp_path).name == "photos(of='x')", "a default has no name"
    assert got == [(tmp_path, "x", 2), (tmp_path, "x", 0)]
    with pytest.raises(InputError, match=r"photos needs of=…; write photos\(of=…\)"):
        load_dataset("photos")
    with pytest.raises(InputError, match=r"unknown argument 'flod'\. Did you mean 'fold'\?"):
        load_dataset("photos(of='x',flod=2)")


def test_own_test_images_that_stand_in_the_training_split_are_offered_to_be_dropped(here):
    (here / "data_shared.py").write_text(
        "import numpy as np\n"
        "from mixlens.analysis.data.dataset import Dataset, Split\n\n"
        "def parts():\n"
        "    images = np.random.default_rng(0).integers(256, size=(8, 1, 4, 4), dtype=np.uint8)\n"
        "    labels = np.arange(8) % 2\n"
        "    return dict(train_images=images[:6], train_labels=labels[:6], test_images=images[5:],\n"
        "                test_labels=labels[5:], classes=['a', 'b'], mean=[0.5], std=[0.3])\n\n"
        "def apart():\n"
        "    one = parts()\n"
        "    splits = [Split.of(one[f'{n}_images'], one[f'{n}_labels']) for n in ('train', 'test')]\n"
        "    return Dataset('mine', *splits, ('a', 'b'), (0.5,), (0.3,)).apart()\n"
    )
    with pytest.raises(InputError, match=r"1 of 6 training images stand in the test split too, the first at index 5"):
        load_dataset("data_shared:parts")
    assert len(load_dataset("data_shared:apart").train) == 5
