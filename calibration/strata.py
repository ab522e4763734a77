"""Images by how far people disagree about them."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from .measures import entropy, smoothed


@dataclass(frozen=True)
class Stratum:
    name: str
    images: Tensor  # (N,) bool
    bounds: str  # what people's entropy is there, in words


def strata(counts: Tensor) -> list[Stratum]:
    """Images on which people all agree, and the halves of the others by the entropy of people's votes; none is empty.

    Thirds would cut through ties: on 44% of CIFAR-10H's images people all agree. The others are cut at their median
    entropy, the lower of the two middle ones; images that equal it are in the lower half, which is then the larger.
    """
    # In the order of their size, so that the same votes for other classes have the same entropy to the last bit.
    disagreement = entropy(smoothed(counts, 0).sort(1).values)
    some = disagreement > 0
    found = [Stratum("unanimous", ~some, "people's entropy is 0")]
    if some.any():
        middle = disagreement[some].median()
        cut = f"{middle.item():.3g} nats"
        found.append(Stratum("low", some & (disagreement <= middle), f"people's entropy is above 0, at most {cut}"))
        found.append(Stratum("high", disagreement > middle, f"people's entropy is above {cut}"))
    return [stratum for stratum in found if stratum.images.any()]
