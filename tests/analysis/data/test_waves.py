"""WAV files that are not as they should be, and those that are."""

import wave
from pathlib import Path

import numpy as np
import pytest
from scipy.io import wavfile

from mixlens.analysis.data.waves import read_wave, read_waves
from mixlens.analysis.errors import InputError

RATE = 16_000


def write(path, samples, *, rate=RATE, width=2, channels=1):
    with wave.open(str(path), "wb") as file:
        file.setparams((channels, width, rate, 0, "NONE", ""))
        file.writeframes(samples.tobytes())
    return path


@pytest.fixture
def sound():
    return np.random.default_rng(0).integers(-(2**15), 2**15, 1000).astype(np.int16)


def test_files_are_as_scipy_wrote_them(sound, tmp_path):
    wavfile.write(tmp_path / "a.wav", RATE, sound)
    wavfile.write(tmp_path / "b.wav", RATE, sound[:300])
    assert np.array_equal(read_wave(tmp_path / "a.wav", RATE), sound)
    found = read_waves([tmp_path / "a.wav", tmp_path / "b.wav"], RATE, 600).numpy()
    assert np.array_equal(found[0], sound[:600])
    assert np.array_equal(found[1], np.concatenate([sound[:300], np.zeros(300)]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rate": 44_100}, r"has 44,100 samples a second\. Expected 16-bit PCM, one channel, 16,000"),
        ({"width": 1}, "has 8 bits a sample"),
        ({"width": 4}, "has 32 bits a sample"),
        ({"channels": 2}, "has 2 channels"),
    ],
)
def test_another_kind_of_file(sound, tmp_path, options, message):
    path = write(tmp_path / "odd.wav", sound, **options)
    with pytest.raises(InputError, match=f"recording .*odd\\.wav {message}"):
        read_wave(path, RATE)


def cut(path):
    path.write_bytes(path.read_bytes()[:-100])


def no_header(path):
    path.write_bytes(path.read_bytes()[:20])


def empty(path):
    path.write_bytes(b"")


def text(path):
    path.write_text("no sound at all, but long enough for a header")


def no_samples(path):
    write(path, np.zeros(0, np.int16))


def beyond(path):
    path.write_bytes(b"RIFF" + b"\xff" * 4 + b"WAVE" + b"\xff" * 40)


def floats(path):
    wavfile.write(path, RATE, np.zeros(10, np.float32))


def gone(path: Path):
    path.unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut, r"is cut: it has 950 of 1,000 samples"),
        (no_header, "cannot be read as a WAV file: it ends within its header"),
        (empty, "cannot be read as a WAV file: it ends within its header"),
        (text, "cannot be read as a WAV file: file does not start with RIFF id"),
        (no_samples, "is empty: it has no samples"),
        (beyond, "cannot be read as a WAV file: its parts end outside of it"),
        (floats, "cannot be read as a WAV file: unknown format: 3"),
        (gone, "cannot be read as a WAV file: No such file"),
    ],
)
def test_a_damaged_file(sound, tmp_path, damage, message):
    path = write(tmp_path / "one.wav", sound)
    damage(path)
    with pytest.raises(InputError, match=f"recording .*one\\.wav {message}"):
        read_waves([path], RATE, 100)
