"""Recordings as waveforms: batches of them, and a training that mixes them in one dimension."""

import torch

from mixlens.analysis.data.dataset import Dataset, Split
from mixlens.analysis.data.modalities import waveform
from mixlens.analysis.data.modalities.waveform import Waveforms
from mixlens.analysis.data.modality import Changes, modality_of
from mixlens.analysis.masks.policies import parse_policy
from mixlens.analysis.training.backend import CPU
from mixlens.analysis.training.engine import take_step
from mixlens.classifier.config import ClassifierConfig
from mixlens.classifier.train import make_recipe, make_step

RATE = 16_000


def tones(count=32, samples=8000):
    """Low and high, of random phases and a little noise."""
    generator = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 2
    hertz = torch.where(labels == 0, 300, 3000).unsqueeze(1)
    phase, noise = torch.rand(count, 1, generator=generator), torch.rand(count, samples, generator=generator)
    x = torch.sin(2 * torch.pi * (hertz * torch.arange(samples) / RATE + phase)) * 0.5 + 0.1 * (noise - 0.5)
    return Split(Waveforms.of(x, RATE), labels)


def test_they_are_a_kind_of_their_own():
    made = tones().images
    assert modality_of(made) is waveform
    assert modality_of(made.at(torch.tensor([1, 2])).to("cpu")) is waveform
    assert made[:].shape == made.shape == (32, 1, 8000)
    assert made[3].shape == (1, 8000)
    assert made[:].dtype == made.dtype
    assert made[:].ndim == made.ndim
    assert torch.equal(torch.cat([part for _, part in waveform.parts(made, 10)]), made[:])


def test_batches_are_their_samples():
    split = tones()
    for x, y in waveform.batches(split, (0.0,), (1.0,), 8, changes=Changes(flip=True, crop=4), channels_last=True):
        assert x.shape == (8, 1, 8000)
        assert x.abs().max() <= 1
        assert ((x[:, 0, 1:] * x[:, 0, :-1] < 0).sum(1) > 800).tolist() == (y == 1).tolist()


def test_batches_of_speech_repeat_with_the_generator():
    def epoch():
        changes = Changes(transforms="speech")
        generator = torch.Generator().manual_seed(1)
        made = waveform.batches(tones(), (0.0,), (1.0,), 8, changes=changes, generator=generator)
        return torch.cat([x for x, _ in made])

    plain = tones().images[:].float() / 32768
    assert torch.equal(epoch(), epoch())
    assert not torch.equal(epoch(), plain)


def test_a_network_learns_from_waveforms_mixed_in_one_dimension():
    dataset = Dataset("tones", tones(), tones(), ("low", "high"), (0.0,), (1.0,))
    config = ClassifierConfig(model="conv4(width=4)", batch_size=16, learning_rate=0.02)
    with CPU.global_draws("test"):
        recipe = make_recipe(config, dataset, CPU.generator("images"), CPU)
        clean = make_step(recipe, None, {}, CPU, modality=dataset.modality)
        recipe.network.train()
        for text in ("mixup", "cutmix", "fmix", "fmix(variant='official')"):
            mix = parse_policy(text).build(2, config.mix_mode)
            step = make_step(recipe, mix, {"mixing": CPU.generator("mixing")}, CPU, modality=dataset.modality)
            for number in range(4):
                for x, y in recipe.batches:
                    assert take_step(recipe.optimizer, step, x, y, number)["loss"].isfinite()
        recipe.network.eval()
        x, y = next(iter(recipe.batches))
        assert clean(x, y, 0)["accuracy"].item() >= 0.9
