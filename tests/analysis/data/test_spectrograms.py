"""Spectrograms against scipy, another library and formulas written out, and what they keep."""

import math

import numpy as np
import pytest
import torch
from scipy import fft, signal
from transformers import audio_utils

from mixlens.analysis.data.spectrograms import HOP, MELS, WINDOW, Warp, frames, log_mel, mel_filters, to_bytes

RATE = 16_000


def speech(count=3, samples=RATE, seed=0):
    """int16 (count, samples): noise through a filter of its own, louder and softer by the second, as a voice is."""
    draws = np.random.default_rng(seed)
    noise = draws.normal(size=(count, samples))
    poles = draws.uniform(0.3, 0.95, count)
    voiced = np.stack([signal.lfilter([1], [1, -pole], row) for pole, row in zip(poles, noise, strict=True)])
    loud = np.exp(3 * np.sin(np.linspace(0, 9, samples)))
    return torch.from_numpy((4000 * voiced * loud / np.abs(voiced * loud).max(1, keepdims=True)).astype(np.int16))


def mels(hertz):
    return hertz * 3 / 200 if hertz < 1000 else 15 + 27 * math.log(hertz / 1000, 6.4)


def hertz(mel):
    return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)


def filters_written_out(rate):
    """Each of the triangles at each of the frequencies, one number after the other."""
    edges = [hertz(mels(rate / 2) * k / (MELS + 1)) for k in range(MELS + 2)]
    found = np.zeros((MELS, WINDOW // 2 + 1))
    for k, (low, middle, high) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        for place in range(found.shape[1]):
            f = place * rate / WINDOW
            height = (f - low) / (middle - low) if f <= middle else (high - f) / (high - middle)
            found[k, place] = max(0, height) * 2 / (high - low)
    return found


def magnitudes(waveform):
    """(1025, frames), window by window."""
    padded = np.pad(waveform.numpy() / 32768, WINDOW // 2)
    hann = signal.get_window("hann", WINDOW)
    starts = range(0, len(padded) - WINDOW + 1, HOP)
    return np.abs([fft.rfft(padded[start : start + WINDOW] * hann) for start in starts]).T


def seen(magnitude, rate=RATE):
    """(32, frames) in [0, 1]."""
    power = np.maximum(filters_written_out(rate) @ magnitude**2, 1e-10)
    return np.maximum(10 * np.log10(power / power.max()), -80) / 80 + 1


@pytest.mark.parametrize(("rate", "samples"), [(16_000, 16_000), (8_000, 5_000), (44_100, 2_048)])
def test_it_is_the_formula(rate, samples):
    waveforms = speech(20, samples)  # more than go together
    found = log_mel(waveforms, rate)
    assert found.shape == (20, 1, MELS, frames(samples))
    for one, waveform in zip(found[:, 0], waveforms, strict=True):
        np.testing.assert_allclose(one.numpy(), seen(magnitudes(waveform), rate), atol=2e-5)


def test_it_is_another_librarys():
    """transformers' own, which its speech models are fed with, at librosa's settings."""
    bank = audio_utils.mel_filter_bank(1 + WINDOW // 2, MELS, 0.0, RATE / 2, RATE, norm="slaney", mel_scale="slaney")
    np.testing.assert_allclose(mel_filters(RATE).numpy(), bank.T, atol=1e-8)
    window = audio_utils.window_function(WINDOW, "hann")
    waveforms = speech(8)
    for one, waveform in zip(log_mel(waveforms, RATE)[:, 0], waveforms, strict=True):
        y = waveform.double().div(32768).numpy()
        power = audio_utils.spectrogram(
            y, window, WINDOW, HOP, power=2.0, pad_mode="constant", mel_filters=bank, mel_floor=0.0
        )
        decibels = audio_utils.power_to_db(power, reference=power.max(), min_value=1e-10, db_range=80.0)
        np.testing.assert_allclose(80 * one.numpy() - 80, decibels, atol=2e-3)


def test_a_warp_is_the_frames_between():
    waveforms = speech(4)
    speed, shift = [1.0, 0.8, 1.2, 0.9], [0, 3, -2, -8]
    found = log_mel(waveforms, RATE, warp=Warp(torch.tensor(speed), torch.tensor(shift).float()))[:, 0].numpy()
    for one, waveform, rate, by in zip(found, waveforms, speed, shift, strict=True):
        whole = magnitudes(waveform)
        count = whole.shape[1]
        heard = np.zeros_like(whole)
        for frame in range(count):
            place = rate * (frame + by)
            if place >= 0 and frame + max(by, 0) < math.ceil(count / rate):
                before, share = int(place), place - int(place)
                for column, weight in ((before, 1 - share), (before + 1, share)):
                    heard[:, frame] += weight * whole[:, column] if column < count else 0
        np.testing.assert_allclose(one, seen(heard), atol=1e-4)


def test_no_warp_is_a_warp_of_nothing():
    waveforms = speech(20)
    still = Warp(torch.ones(20), torch.zeros(20))
    torch.testing.assert_close(log_mel(waveforms, RATE, warp=still), log_mel(waveforms, RATE), atol=1e-5, rtol=0)


@pytest.mark.parametrize("tone", [150, 440, 1000, 3000, 7000])
def test_a_tone_is_loudest_in_the_filter_around_it(tone):
    wave = (8000 * torch.sin(2 * math.pi * tone * torch.arange(RATE) / RATE)).short()
    middles = [hertz(mels(RATE / 2) * (k + 1) / (MELS + 1)) for k in range(MELS)]
    loudest = int(log_mel(wave[None], RATE)[0, 0, :, 16].argmax())
    assert abs(loudest - int(np.argmin(np.abs(np.array(middles) - tone)))) <= 1


def test_every_filter_has_area_one():
    """In hertz, of those wide enough for the frequencies of a window to tell."""
    areas = mel_filters(RATE).sum(1) * RATE / WINDOW
    torch.testing.assert_close(areas[8:], torch.ones(MELS - 8), atol=0.02, rtol=0)


def test_loudness_cancels():
    quiet = speech(3).float() / 32768 / 8
    torch.testing.assert_close(log_mel(8 * quiet, RATE), log_mel(quiet, RATE), atol=1e-4, rtol=0)


def test_silence_is_all_alike_and_nothing_is_below_the_floor():
    assert (log_mel(torch.zeros(2, RATE, dtype=torch.int16), RATE) == 1).all()
    half = torch.cat([torch.zeros(RATE, dtype=torch.int16), speech(1)[0]])[None]
    found = log_mel(half, RATE)
    assert found.min() == 0
    assert found.max() == 1


def test_a_recording_alone_is_as_in_its_batch():
    waveforms = speech(40)
    together = log_mel(waveforms, RATE)
    alone = torch.cat([log_mel(one[None], RATE) for one in waveforms])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


def test_bytes():
    assert to_bytes(torch.tensor([0, 0.5, 1, 0.001, 0.003])).tolist() == [0, 128, 255, 0, 1]


@pytest.mark.gpu
def test_on_cuda_it_is_the_same():
    waveforms = speech(40)
    warp = Warp(torch.linspace(0.8, 1.2, 40), torch.arange(40).remainder(17).sub(8.0))
    for one in (None, warp):
        moved = one and Warp(*(part.cuda() for part in one))
        torch.testing.assert_close(
            log_mel(waveforms.cuda(), RATE, warp=moved).cpu(), log_mel(waveforms, RATE, warp=one), atol=1e-3, rtol=0
        )
