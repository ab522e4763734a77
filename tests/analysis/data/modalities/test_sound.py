"""Recordings as images: what indexing, batching and a training see of them, and what is refused."""

import numpy as np
import pytest
import torch

from mixlens.analysis.data.dataset import Dataset, Split
from mixlens.analysis.data.load import load_dataset
from mixlens.analysis.data.modalities import sound
from mixlens.analysis.data.modalities.sound import MEAN, STD, Recordings
from mixlens.analysis.data.modality import Changes, modality_of
from mixlens.analysis.data.spectrograms import log_mel, to_bytes
from mixlens.analysis.errors import InputError

RATE = 16_000


def waveforms(count=10, samples=4000, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(-9000, 9000, (count, samples), dtype=torch.int16, generator=generator)


def recordings(count=10, samples=4000, seed=0):
    return Recordings.of(waveforms(count, samples, seed), RATE)


def split(count=10):
    return Split(recordings(count), torch.arange(count))


def test_indexed_they_are_their_spectrograms():
    made = recordings(300)
    whole = to_bytes(log_mel(waveforms(300), RATE))
    assert made.shape == whole.shape == (300, 1, 32, 8)
    assert (made.dtype, made.ndim, len(made)) == (whole.dtype, whole.ndim, 300)
    few = torch.tensor([3, 1, 299])
    for found, wanted in [
        (made[:], whole),
        (made[few], whole[few]),
        (made[5], whole[5]),
        (made[2:2], whole[2:2]),
        (made[torch.arange(300) > 290], whole[291:]),
        (made.at(few)[:], whole[few]),
        (torch.cat(list(made.split(128))), whole),
        (made.cpu().to("cpu")[:9], whole[:9]),
    ]:
        assert found.shape == wanted.shape
        assert ((found.int() - wanted.int()).abs() <= 1).all()  # rounding, by how many go together


def test_they_are_a_kind_of_their_own():
    assert modality_of(recordings()) is sound
    assert modality_of(recordings()[:]).NAME == "image"


def test_hashes_tell_waveforms_and_rates_apart():
    first = recordings().hashes()
    assert first.shape == (10, 32)
    assert len(np.unique(first, axis=0)) == 10
    assert np.array_equal(first[3:5], recordings().at(torch.tensor([3, 4])).hashes())
    assert not (first == Recordings.of(waveforms(), 8000).hashes()).all(1).any()


def test_floats_are_as_their_16_bits():
    x = waveforms()
    for floats in (x.float() / 32768, x.double().numpy() / 32768, (x.float() / 32768).tolist()):
        assert torch.equal(Recordings.of(floats, RATE).waveforms, x)
    ends = Recordings.of(torch.tensor([[1.0, -1.0] * 1024]), RATE).waveforms
    assert ends.unique().tolist() == [-32768, 32767]


@pytest.mark.parametrize(
    ("given", "rate", "message"),
    [
        (torch.zeros(2, 4000), "16 kHz", r"rate '16 kHz'; expected the samples a second"),
        (torch.zeros(2, 4000), 16, r"rate 16; expected"),
        (torch.zeros(4000), RATE, r"shape \(4000,\); expected \(N, samples\)"),
        (torch.zeros(2, 2, 4000), RATE, r"shape \(2, 2, 4000\)"),
        (torch.full((2, 4000), 9000.0), RATE, r"floats up to 9000; expected −1 to 1: divide"),
        (torch.full((2, 4000), torch.nan), RATE, r"contain NaN or infinity; expected −1 to 1"),
        (torch.zeros(2, 4000, dtype=torch.int32), RATE, r"dtype int32; give int16"),
        ([[0.0, 0.1], [0.2]], RATE, r"cannot be read as an array of numbers: .*zeros after the shorter"),
    ],
)
def test_what_is_no_recording(given, rate, message):
    with pytest.raises(InputError, match=message):
        Recordings.of(given, rate)


def test_a_data_set_of_recordings_too_short_for_a_window():
    short = Split(recordings(4, 2047), torch.tensor([0, 1, 0, 1]))
    with pytest.raises(InputError, match=r"recordings of 2047 samples; a spectrogram needs 2,048 or more"):
        Dataset("short", short, short, ("a", "b"), MEAN, STD)


def test_batches_are_spectrograms_normalised_and_neither_flipped_nor_cropped():
    whole = recordings()[:].float() / 255
    for changes in (None, Changes(flip=True, crop=4)):
        for x, y in sound.batches(split(), (0.5,), (0.25,), 4, changes=changes):
            torch.testing.assert_close(x, (whole[y] - 0.5) / 0.25, atol=0.02, rtol=0)


def test_batches_of_speech_change_anew_each_epoch_and_repeat_with_the_generator():
    def epochs():
        generator = torch.Generator().manual_seed(7)
        changes = Changes(transforms="speech")
        batches = sound.batches(split(), MEAN, STD, 4, changes=changes, generator=generator, shuffle=True)
        return [list(batches) for _ in range(2)]

    first, second = (torch.cat([x[y.argsort()] for x, y in epoch]) for epoch in epochs())
    assert first.shape == (10, 1, 32, 8)
    assert not torch.equal(first, second)
    assert first.min() >= -0.5
    assert first.max() <= 0.5
    again, _ = (torch.cat([x[y.argsort()] for x, y in epoch]) for epoch in epochs())
    assert torch.equal(first, again)


def test_transforms_of_recordings():
    assert [sound.read_changes(text) for text in ("", "none", "speech")] == ["", "", "speech"]
    with pytest.raises(InputError, match="'randaugment' are not of recordings; give speech"):
        sound.read_changes("randaugment")


# A factory's dict

FACTORY = """
import numpy as np

def made():
    draws = np.random.default_rng(0)
    sounds = draws.integers(-9000, 9000, (6, 4000)).astype(np.int16)
    return {"train_sounds": sounds[:4], "train_labels": [0, 1, 0, 1], "test_sounds": sounds[4:] / 32768,
            "test_labels": [0, 1], "classes": ["low", "high"], "rate": 16000}

def scaled():
    return {**made(), "mean": [0.4], "std": [0.3]}

def rateless():
    one = made(); del one["rate"]; return one

def halved():
    one = made(); del one["test_sounds"]; return one

def both():
    return {**made(), "train_texts": ["a", "b", "a", "b"]}

def broken():
    one = made(); one["test_sounds"] = one["test_sounds"] * float("nan"); return one

def loud():
    one = made(); one["test_sounds"] = one["test_sounds"] * 32768; return one
"""


@pytest.fixture
def factory(tmp_path, monkeypatch):
    (tmp_path / "own_sounds.py").write_text(FACTORY)
    monkeypatch.syspath_prepend(tmp_path)
    return "own_sounds"


def test_recordings_of_ones_own(factory):
    dataset = load_dataset(f"{factory}:made")
    assert dataset.modality is sound
    assert (dataset.mean, dataset.std) == (MEAN, STD)
    assert dataset.train.images.shape == (4, 1, 32, 8)
    assert dataset.test.images.waveforms.dtype == torch.int16
    assert load_dataset(f"{factory}:scaled").mean == (0.4,)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("rateless", "own_sounds:rateless': the dict that the factory returned lacks rate"),
        ("halved", "lacks test_sounds"),
        ("both", "unknown key in the dict .*'train_texts'.* Known: .*test_sounds, train_labels, train_sounds"),
        ("broken", "own_sounds:broken': recordings that contain NaN or infinity"),
        ("loud", "own_sounds:loud': recordings of floats up to .*divide 16-bit samples by 32768"),
    ],
)
def test_what_is_wrong_with_ones_own(factory, name, message):
    with pytest.raises(InputError, match=message):
        load_dataset(f"{factory}:{name}")
