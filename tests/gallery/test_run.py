"""The gallery of a study: planned for every study, drawn from its own data and augmentations."""

import numpy as np
import pytest
import torch
from helpers import BACKEND, context_of, record_of, tiny_dataset

from mixlens.analysis.data.dataset import Dataset, Split, Vocabulary
from mixlens.analysis.data.modalities.text import Texts
from mixlens.analysis.store.runs import Store
from mixlens.analysis.study.executors.local import execute
from mixlens.analysis.study.plan import plan
from mixlens.analysis.study.sections import installed_sections
from mixlens.analysis.study.study import read_study
from mixlens.gallery.figures import EXCERPTS, plots

SECTIONS = {"gallery": installed_sections()["gallery"]}


def split(count, channels=3):
    source = torch.Generator().manual_seed(count)
    images = torch.randint(256, (count, channels, 8, 8), dtype=torch.uint8, generator=source)
    return Split(images, torch.arange(count) % 4)


def study(**values):
    augmentations = ["baseline", "mixup", "fmix"]
    return read_study(None, SECTIONS, {"sections": ["gallery"], "augmentations": augmentations, **values})


def arrays_of(tmp_path, dataset, **values):
    asked = study(**values)
    (task,) = plan(asked, SECTIONS, dataset, BACKEND)
    outcome = execute([task], Store(tmp_path / "runs"), context_of(asked, dataset))
    return outcome.done[task.name].read_arrays()


def test_it_has_the_studys_augmentations_at_the_settings(tmp_path):
    arrays = arrays_of(tmp_path, tiny_dataset(split(16), split(24)), gallery={"columns": 3, "lam": 0.25})
    shown = {key for key in arrays if ":" in key and not key.startswith("spectrum")}
    assert shown == {f"{what}:{name}" for what in ("mask", "mixed") for name in ("mixup", "fmix")}
    assert arrays["images"].shape == arrays["partners"].shape == (3, 8, 8, 3)
    assert np.allclose(arrays["mask:mixup"], 0.25)
    assert arrays["spectrum:paper"].shape == (8, 8)


@pytest.mark.parametrize(("test", "why"), [(split(24, channels=2), "channels"), (split(2), "too few")])
def test_data_that_no_picture_can_be_drawn_of_have_spectra_alone(tmp_path, test, why):
    channels = test.images.shape[1]
    dataset = Dataset("tiny", split(16, channels), test, tuple("abcd"), (0.5,) * channels, (0.25,) * channels)
    arrays = arrays_of(tmp_path, dataset)
    assert {key.partition(":")[0] for key in arrays} == {"images", "partners", "spectrum"}, why


def test_volumes_are_drawn_as_what_they_are(tmp_path):
    source = torch.Generator().manual_seed(0)
    solids = Split(torch.randint(2, (12, 1, 6, 6, 6), generator=source).mul(255).byte(), torch.arange(12) % 4)
    dataset = Dataset("tiny", solids, solids, tuple("abcd"), (0.5,), (0.25,))
    arrays = arrays_of(tmp_path, dataset, gallery={"columns": 3})
    assert arrays["images"].shape == arrays["mixed:fmix"].shape == (3, 6, 6, 6, 1)
    assert arrays["mask:fmix"].shape == (3, 6, 6, 6)
    assert arrays["power:paper"].shape == (3, 4)
    assert "spectrum:paper" not in arrays


def text_data(lengths):
    split = Split(Texts.of([[1 + i] * length for i, length in enumerate(lengths)]), torch.arange(len(lengths)) % 4)
    known = Vocabulary(tuple(f"word{i}" for i in range(1, 51)))
    return Dataset("tiny", split, split, tuple("abcd"), (), (), vocabulary=known)


def test_texts_have_masks_of_their_usual_length_and_the_words_of_two(tmp_path):
    record = record_of(tmp_path, study(gallery={"columns": 3}), text_data([4, 9, 12, 30, 11, 10, 14, 13]))
    (task,) = record.done("gallery")
    run = record.run(task.name)
    arrays = run.read_arrays()
    assert arrays["mask:fmix"].shape == arrays["mask:mixup"].shape == (3, 11)
    assert arrays["taken:fmix"].shape == (1, 11)
    assert arrays["power:official"].shape == (1, 6)
    assert [len(text) for text in run.read_json(EXCERPTS)] == [11, 11]
    assert [plot.name for plot in plots(record, {})] == ["masks", "words", "spectra"]


def test_texts_of_one_word_have_nothing_to_show(tmp_path):
    arrays = arrays_of(tmp_path, text_data([1] * 8))
    assert arrays == {}


OWN = """
def make():
    def mix(x, y, *, generator=None):
        return 1 - x, y

    return mix
"""


def test_an_augmentation_of_ones_own_is_drawn_and_fmixs_spectra_only_with_fmix(tmp_path, monkeypatch):
    (tmp_path / "own_negative.py").write_text(OWN, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    arrays = arrays_of(tmp_path, tiny_dataset(split(16), split(24)), augmentations=["own_negative:make", "cutmix"])
    assert set(arrays) == {"images", "partners", "mixed:own_negative:make", "mask:cutmix", "mixed:cutmix"}
    assert (arrays["mixed:own_negative:make"] == 255 - arrays["images"]).all()


def test_every_study_has_one_also_if_it_does_not_list_it():
    sections = {name: installed_sections()[name] for name in ("gallery", "classifier")}
    small = {"model": "preact-resnet18(width=2)", "batch_size": 8}
    asked = read_study(None, sections, {"sections": ["classifier"], "seeds": 1, "classifier": small})
    tasks = plan(asked, sections, tiny_dataset(split(16), split(16)), BACKEND)
    assert [task.section for task in tasks].count("gallery") == 1
