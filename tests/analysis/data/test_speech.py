import numpy as np
import torch

from mixlens.analysis.data.spectrograms import log_mel
from mixlens.analysis.data.speech import CHANCE, Speech, SpeechInWaves, resampled

RATE = 16_000


def noise(count, samples=RATE):
    generator = torch.Generator().manual_seed(0)
    return torch.randint(-9000, 9000, (count, samples), dtype=torch.int16, generator=generator)


def of_seed(seed, waveforms):
    return Speech(RATE)(waveforms, generator=torch.Generator().manual_seed(seed))


def test_resampled_is_numpys_interpolation():
    """As the published code plays faster and slower, each at its own speed."""
    x = noise(5, 400).float()
    speed = torch.tensor([0.8, 1.0, 1.25, 0.97, 1 / 0.9])
    found = resampled(x, speed).numpy()
    for one, row, rate in zip(found, x.numpy(), speed.double().tolist(), strict=True):
        there = np.interp(np.arange(0, len(row), rate), np.arange(len(row)), row)[: len(row)]
        np.testing.assert_allclose(one[: len(there)], there, atol=2)  # of ±9,000, places are float32
        assert not one[len(there) :].any()
    assert np.array_equal(found[1], x[1].numpy())


def test_shifted_after_that_what_was_beyond_an_end_is_silence():
    x = noise(3, 400).float()
    whole = resampled(x, torch.full((3,), 1.1))
    found = resampled(x, torch.full((3,), 1.1), torch.tensor([0, 30, -50]))
    torch.testing.assert_close(found[0], whole[0])
    torch.testing.assert_close(found[1, :370], whole[1, 30:], atol=2, rtol=0)
    torch.testing.assert_close(found[2, 50:], whole[2, :350], atol=2, rtol=0)
    assert not found[1, 370:].any()
    assert not found[2, :50].any()


def test_waveforms_are_changed_by_the_same_draws():
    """All but the stretch: where none is drawn, and no shift, what is seen of them is what `Speech` sees."""
    waveforms = noise(1).expand(200, -1)
    generator = torch.Generator().manual_seed(5)
    changed = SpeechInWaves()(waveforms.unsqueeze(1), generator=generator)
    assert changed.shape == (200, 1, RATE)
    same = (log_mel(changed.squeeze(1), RATE) - of_seed(5, waveforms)).abs().amax((1, 2, 3)) < 0.01
    chances, draws = torch.rand(2, 4, 200, generator=torch.Generator().manual_seed(5))
    still = (chances[2] >= CHANCE) & ((chances[3] >= CHANCE) | ((17 * draws[3]).floor() == 8))
    assert 20 < still.sum() < 100
    assert torch.equal(same, still)
    loudness = changed.abs().amax((1, 2)) / (waveforms[0].abs().max() / 32768)
    assert loudness.min() >= 0.6
    assert loudness.max() <= 1.11


def test_draws_repeat_and_are_each_recordings_own():
    waveforms = noise(1).expand(64, -1)
    first = of_seed(3, waveforms)
    assert torch.equal(first, of_seed(3, waveforms))
    assert not torch.equal(first, of_seed(4, waveforms))
    assert len(first.flatten(1).unique(dim=0)) > 32


def test_what_nothing_is_drawn_for_is_as_it_was():
    """Loudness cancels; of speed, stretch and shift none is drawn for one in eight."""
    waveforms = noise(1).expand(400, -1)
    plain = log_mel(waveforms[:1], RATE)
    still = ((of_seed(0, waveforms) - plain).abs().amax((1, 2, 3)) < 1e-3).sum().item()
    chance = (1 - CHANCE) ** 3 + (1 - CHANCE) ** 2 * CHANCE / 17  # a shift may be one of none
    assert abs(still - 400 * chance) < 4 * (400 * chance * (1 - chance)) ** 0.5


def test_half_of_them_are_shifted_by_up_to_eight_frames():
    """A click in the middle is where it was, or that many frames off; speed and stretch move it by a fifth besides."""
    click = torch.zeros(1, 2 * RATE, dtype=torch.int16)
    click[0, :2048] = noise(1, 2048)[0]  # at the beginning speed and stretch leave it
    waveforms = click.expand(500, -1)
    plain = log_mel(click, RATE)[0, 0].mean(0).argmax()
    at = of_seed(1, waveforms)[:, 0].mean(1).argmax(1) - plain
    later = at[at > 3]
    assert later.max() in (8, 9, 10)
    assert 0.1 < len(later) / 500 < 0.25  # half, of which 5 of 17 are later by four frames or more


def test_they_fit_a_captured_step():
    """Shapes are the recordings', whatever is drawn."""
    assert of_seed(0, noise(5, 5000)).shape == (5, 1, 32, 10)
