"""Images with their tiles in another order: tensors in, tensors out."""

import torch
from torch import Generator, Tensor


def shuffle_tiles(images: Tensor, grid: int, generator: Generator) -> Tensor:
    """Cut each image (N, C, H, W) into ``grid`` × ``grid`` tiles and deal them anew, each image by a draw of its own.

    Args:
        grid: tiles per side; it divides H and W.
        generator: on the CPU, so that the same seed gives the same permutations on every device.
    """
    n, channels, height, width = images.shape
    tiles = images.reshape(n, channels, grid, height // grid, grid, width // grid).transpose(3, 4)
    tiles = tiles.reshape(n, channels, grid * grid, height // grid, width // grid)
    order = torch.rand(n, grid * grid, generator=generator).argsort(1).to(images.device)
    dealt = tiles.gather(2, order[:, None, :, None, None].expand_as(tiles))
    dealt = dealt.reshape(n, channels, grid, grid, height // grid, width // grid).transpose(3, 4)
    return dealt.reshape(n, channels, height, width)
