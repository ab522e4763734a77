"""Google Speech Commands v0.02 (Warden 2018): a word a recording, a second each, by 2,618 speakers, in 12 classes.

Read from the folder ``speech-commands`` below the data's: a folder for each word, ``yes/0a7c2a8d_nohash_0.wav`` and so
on, ``validation_list.txt`` and ``testing_list.txt``, and ``_background_noise_``. Ten words are classes, all others are
unknown, as in the published code; the paper's 65,000 utterances of 30 words are those of v0.01. Silence is made of the
noise, a second for every ten utterances: to train on from the first four fifths of each recording of it, to test on
from its last tenth. The published test set of the 12 classes has a folder ``_silence_`` of such seconds; those are
tested.

No speaker is in two splits. Those of the lists are tested, or kept for validation and left out here; without lists,
those that the SHA-1 of their names puts there, as the lists were made.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from ...errors import InputError
from ..dataset import Dataset, Split
from ..files import DataFile, data_root, fetching
from ..modalities.sound import MEAN, STD, Recordings
from ..modalities.waveform import Waveforms
from ..waves import read_wave, read_waves

ABOUT = "105,829 spoken words of a second, in 12 classes: ten commands, unknown, silence; 2429 MB"
MEGABYTES = 2429.0
SHAPE = None  # noise of its size would fill gigabytes

Part = Literal["train", "validation", "test"]

FOLDER, NOISE, SILENCE = "speech-commands", "_background_noise_", "_silence_"
URL = "http://download.tensorflow.org/data/speech_commands_v0.02.tar.gz"
MD5 = "6b74f3901214cb2c2934e98196829835"
LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}
WORDS = ("yes", "no", "up", "down", "left", "right", "on", "off", "stop", "go")
MIXED = {"spectrogram": (Recordings, MEAN, STD), "waveform": (Waveforms, (0.0,), (1.0,))}
CLASSES = ("unknown", "silence", *WORDS)
RATE = SAMPLES = 16_000  # a second
QUIET = 10  # utterances for which there is one second of silence
STRETCHES: dict[Part, tuple[float, float]] = {"train": (0.0, 0.8), "test": (0.9, 1.0)}  # of each recording of noise
_MOST = 2**27 - 1  # of a speaker's hash, as the lists were made
_REMEDY = f"Run `mixlens data speech_commands --fetch`, or unpack {URL} in"


class Utterance(NamedTuple):
    path: Path
    word: str  # its folder

    @property
    def speaker(self) -> str:
        return self.path.stem.partition("_nohash_")[0]

    @property
    def listed(self) -> str:
        return f"{self.word}/{self.path.name}"

    @property
    def label(self) -> int:
        word = "silence" if self.word == SILENCE else self.word
        return CLASSES.index(word) if word in CLASSES else 0


def status(root: str | Path | None = None) -> list[DataFile]:
    """The folder, which must hold one of each of the ten words."""
    folder = data_root(root) / FOLDER
    return [DataFile(folder, folder.is_dir(), all((folder / word).is_dir() for word in WORDS))]


def fetch(root: str | Path | None = None) -> None:
    """Download the archive (2.4 GB), check and unpack it; nothing happens if the words' folders are there.

    Raises:
        InputError: it cannot be fetched, fails its checksum or cannot be written.
    """
    from torchvision.datasets.utils import download_and_extract_archive

    folder = data_root(root) / FOLDER
    if not all(file.ok for file in status(root)):
        with fetching("Speech Commands", folder, f"{_REMEDY} {folder}."):
            download_and_extract_archive(URL, folder, md5=MD5)


def load(root: str | Path | None = None, *, test: int = 0, mix: str = "spectrogram") -> Dataset:
    """All recordings, by folder and name, their first second; those that are shorter end in zeros.

    Args:
        test: percent of the speakers, and of the seconds of silence, that are tested in place of the published split's,
            all others trained on; by another part of the same hashes. For parts of the data, such as a published test
            set alone. Seconds of silence in files of their own may overlap.
        mix: what is mixed, each recording's ``spectrogram``, in 2-D, or its ``waveform``, in 1-D.

    Raises:
        InputError: recordings are missing or of another kind; a split that has none.
    """
    if type(test) is not int or not 0 <= test <= 90:
        raise InputError(f"data set 'speech_commands': test={test!r}; expected percent of the speakers, 0 to 90.")
    if mix not in MIXED:
        raise InputError(f"data set 'speech_commands': mix={mix!r}; expected {' or '.join(MIXED)}.")
    (file,) = status(root)
    if not file.ok:
        lacking = [word for word in WORDS if not (file.path / word).is_dir()]
        state = f"lacks the folders {', '.join(lacking)}" if file.present else "is missing"
        raise InputError(f"Speech Commands cannot be used: {file.path} {state}. {_REMEDY} {file.path}.")
    listed = {} if test else _lists(file.path)
    parts: dict[Part, list[Utterance]] = {"train": [], "validation": [], "test": []}
    for one in _utterances(file.path):
        parts[_by_percent(one, test) if test else _published(one, listed)].append(one)
    there = {one.listed for one in (*parts["validation"], *parts["test"])}
    if absent := sorted(listed.keys() - there):
        raise InputError(
            f"Speech Commands cannot be used: {file.path} lacks {len(absent):,} of the {len(listed):,} recordings that "
            f"its lists name, such as {absent[0]}. {_REMEDY} {file.path}; of a part of the data give the percent of "
            "its speakers to test, as speech_commands(test=25)."
        )
    for part in STRETCHES:
        if len(parts[part]) < 2:
            raise InputError(
                f"Speech Commands cannot be used: of the {sum(map(len, parts.values()))} recordings in {file.path}, "
                f"{len(parts[part])} are to {part} by the published split. Of a part of the data give the percent of "
                "its speakers to test, as speech_commands(test=25)."
            )
    if lacking := [word for word in WORDS if not any((file.path / word).glob("*.wav"))]:
        raise InputError(
            f"Speech Commands cannot be used: {file.path} lacks recordings, WORD/….wav, of {', '.join(lacking)}. "
            f"{_REMEDY} {file.path}."
        )
    noise = sorted((file.path / NOISE).glob("*.wav"))
    for part in STRETCHES:
        if not noise and all(one.word != SILENCE for one in parts[part]):
            raise InputError(
                f"Speech Commands cannot be used: {file.path / NOISE} has no recordings of noise, ….wav, of which the "
                f"silence to {part} is made. {_REMEDY} {file.path}."
            )
    kind, mean, std = MIXED[mix]
    train, test_split = (_split(parts[part], noise, part, kind) for part in STRETCHES)
    return Dataset("speech_commands", train, test_split, CLASSES, mean, std)


def _utterances(folder: Path) -> Iterator[Utterance]:
    for inner in sorted(folder.iterdir()):
        if inner.is_dir() and (inner.name == SILENCE or not inner.name.startswith(("_", "."))):
            for path in sorted(inner.glob("*.wav")):
                yield Utterance(path, inner.name)


def _lists(folder: Path) -> dict[str, Part]:
    """Which part each listed file is of, ``word/name``; empty where a list lacks. Raises InputError for other lists."""
    found: dict[str, Part] = {}
    if not all((folder / name).is_file() for name in LISTS.values()):
        return found
    for part, name in LISTS.items():
        try:
            lines = (folder / name).read_text(encoding="utf-8-sig").split()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"Speech Commands cannot be used: {folder / name} cannot be read: {error}.") from error
        for line in lines:
            if not line.endswith(".wav") or line.count("/") != 1:
                raise InputError(
                    f"Speech Commands cannot be used: {folder / name} has the line {line[:80]!r}; expected "
                    "word/name.wav."
                )
            found[line] = "test" if part == "test" else "validation"
    return found


def _published(one: Utterance, listed: dict[str, Part]) -> Part:
    """By the lists; without them by Warden's rule, whose percentages are of the hash modulo 2²⁷."""
    if one.word == SILENCE:
        return "test"
    if listed:
        return listed.get(one.listed, "train")
    percent = _hash(one.speaker) % (_MOST + 1) * (100 / _MOST)
    return "validation" if percent < 10 else "test" if percent < 20 else "train"


def _by_percent(one: Utterance, test: int) -> Part:
    """By what the published rule leaves of the hash, so that a published split can be split once more."""
    return "test" if _hash(one.speaker) // (_MOST + 1) % 100 < test else "train"


def _hash(speaker: str) -> int:
    return int(hashlib.sha1(speaker.encode(), usedforsecurity=False).hexdigest(), 16)


def _split(utterances: list[Utterance], noise: list[Path], part: Part, kind: type[Recordings]) -> Split:
    spoken = read_waves([one.path for one in utterances], RATE, SAMPLES)
    quiet = _seconds(noise, part, -(-len(utterances) // QUIET)) if noise else spoken[:0]
    labels = [one.label for one in utterances] + [CLASSES.index("silence")] * len(quiet)
    return Split(kind(torch.cat([spoken, quiet]), RATE), torch.tensor(labels))


def _seconds(noise: list[Path], part: Part, count: int) -> Tensor:
    """So many seconds of the noise, (count, 16000), evenly spaced over this split's stretch of each recording in turn.

    Raises:
        InputError: a recording that cannot be read, or with less than a second for the split.
    """
    low, high = STRETCHES[part]
    pieces = np.zeros((count, SAMPLES), np.int16)
    for place, path in enumerate(noise):
        samples = read_wave(path, RATE)
        stretch = samples[round(low * len(samples)) : round(high * len(samples))]
        if len(stretch) < SAMPLES:
            raise InputError(f"recording {path} has {len(samples) / RATE:.1f} s; expected 10 s of noise or more.")
        rows = pieces[place :: len(noise)]
        starts = np.linspace(0, len(stretch) - SAMPLES, len(rows)).round().astype(int)
        for row, start in zip(rows, starts, strict=True):
            row[:] = stretch[start : start + SAMPLES]
    return torch.from_numpy(pieces)
