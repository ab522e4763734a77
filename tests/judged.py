"""Images that people voted on, for tests of the calibration section."""

from functools import cache

import torch
from helpers import tiny_dataset
from torch import nn

from mixlens.analysis.data.dataset import Split

TEST_IMAGES, CLASSES = 80, 4


def split(count, seed):
    """Four noisy checkerboards of 8 × 8 pixels. Every fifth label is another class's: nobody is always right."""
    patterns = torch.rand(CLASSES, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    shown = torch.arange(count) % CLASSES
    noise = torch.rand(count, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    clean = nn.functional.interpolate(patterns, size=8)[shown]
    labels = torch.where(torch.arange(count) % 5 == 0, (shown + 1) % CLASSES, shown)
    return Split((0.6 * clean + 0.4 * noise).mul(255).byte(), labels)


def votes():
    """From 10 to 13 votes an image; they agree on every fourth image and leave out some class on most."""
    generator = torch.Generator().manual_seed(3)
    labels = split(TEST_IMAGES, 2).labels
    p = torch.full((TEST_IMAGES, CLASSES), 0.1)
    p[torch.arange(TEST_IMAGES), labels] = 0.7
    counts = torch.zeros(TEST_IMAGES, CLASSES, dtype=torch.int64)
    for image in range(TEST_IMAGES):
        dealt = torch.multinomial(p[image], 10 + image % 4, replacement=True, generator=generator)
        counts[image] = dealt.bincount(minlength=CLASSES)
    counts[::4] = 10 * nn.functional.one_hot(labels[::4], CLASSES)
    return counts


def shares():
    return votes() / votes().sum(1, keepdim=True).double()


@cache
def splits():
    return split(160, 1), split(TEST_IMAGES, 2)


def dataset():
    return tiny_dataset(*splits())
