"""What the networks of this folder have in common."""

from __future__ import annotations

from torch import nn

from ..errors import InputError


def norm_relu(channels: int) -> nn.Sequential:
    return nn.Sequential(nn.BatchNorm2d(channels), nn.ReLU())


def at_least_one(name: str, value: int) -> int:
    """Raises InputError unless the argument is a whole number of at least 1."""
    if type(value) is not int or value < 1:
        raise InputError(f"{name} must be a whole number of at least 1, got {value!r}.")
    return value


def layers_per_stage(name: str, depth: int, once: int, each: int) -> int:
    """How many units each of a network's stages has: (depth − ``once``) / ``each``.

    Raises:
        InputError: that is no whole number of at least 1.
    """
    units = (at_least_one(name, depth) - once) // each
    if units < 1 or depth != once + each * units:
        near = [once + each * n for n in (max(1, units), max(1, units) + 1)]
        raise InputError(f"{name} must be {once} + {each} n, such as {near[0]} or {near[1]}, got {depth!r}.")
    return units
