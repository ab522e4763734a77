"""How far a classifier's probabilities lie from people's, and from how often it is right. Tensors in, tensors out.

Everything here is per image, (N,), float64 and in nats unless said, so that means, bootstraps and paired differences
are the caller's choice. ``log_p`` are log-probabilities (N, C); zeros are −inf. A divergence is inf where the second
distribution is zero and the first is not: nothing is clamped.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Generator, Tensor
from torch.nn.functional import one_hot, pad

from ..analysis.errors import InputError

UNITS = {"total_variation": "", "second_best": "fraction", "brier": ""}  # else nats


def log_probabilities(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """log softmax(logits / T), (N, C)."""
    return torch.log_softmax(logits.double() / temperature, dim=1)


def smoothed(counts: Tensor, pseudo: float) -> Tensor:
    """People's log-probabilities log (c + a) / (n + C a) from counts (N, C): the mean of a Dirichlet posterior.

    ``pseudo`` is a, the pseudo-count of each class; 0 gives the raw frequencies, with log 0 = −inf.

    Raises:
        InputError: a is negative; counts that are negative, not finite, or sum to zero for an image.
    """
    if not pseudo >= 0:
        raise InputError(f"a pseudo-count must be at least 0, got {pseudo}.")
    counts = check_counts(counts).double()
    return ((counts + pseudo) / (counts.sum(1, keepdim=True) + counts.shape[1] * pseudo)).log()


def check_counts(counts: Tensor) -> Tensor:
    """Raises InputError unless counts (N, C) are finite, not negative, and give each image at least one vote."""
    if counts.ndim != 2:
        raise InputError(f"human counts must have the shape (images, classes), got {tuple(counts.shape)}.")
    bad = ~(counts.isfinite() & (counts >= 0)) if counts.is_floating_point() else counts < 0
    if bad.any():
        row, column = (int(i) for i in bad.nonzero()[0])
        raise InputError(f"human counts must be finite and at least 0; image {row} has {counts[row, column].item()}.")
    empty = (counts.sum(1) == 0).nonzero()
    if len(empty):
        raise InputError(f"image {int(empty[0])} has no human votes: its counts sum to zero.")
    return counts


def are_votes(counts: Tensor) -> bool:
    """Whether these are whole numbers of votes, not probabilities."""
    return not counts.is_floating_point() or bool((counts == counts.round()).all())


def check_probabilities(p: Tensor) -> None:
    """Raises InputError unless each row of p (N, C) sums to one, within 10⁻⁴."""
    sums = p.double().sum(1)
    bad = ((sums - 1).abs() > 1e-4).nonzero()
    if len(bad):
        row = int(bad[0])
        raise InputError(
            f"human labels with fractions are probabilities, which sum to one for each image; those of image {row} sum "
            f"to {sums[row].item():g}. Give probabilities, or whole numbers of votes."
        )


def check_log_probabilities(log_p: Tensor, labels: Tensor | None = None) -> None:
    """Raises InputError unless rows (N, C) are log-probabilities, within 10⁻⁴, and labels (N,) are of their classes."""
    if log_p.ndim != 2 or not log_p.is_floating_point():
        raise InputError(f"expected log-probabilities (N, C), got {tuple(log_p.shape)} of {log_p.dtype}.")
    sums = log_p.double().exp().sum(1)
    bad = (~((sums - 1).abs() < 1e-4)).nonzero()
    if len(bad):
        row = int(bad[0])
        raise InputError(
            f"expected log-probabilities, whose exponentials sum to one for each image; those of image {row} sum to "
            f"{sums[row].item():.3g}. Of logits give log_probabilities(logits), of probabilities their logarithm."
        )
    if labels is None:
        return
    if labels.shape != log_p.shape[:1] or labels.is_floating_point() or labels.dtype == torch.bool:
        raise InputError(f"expected integer labels ({len(log_p)},), got {tuple(labels.shape)} of {labels.dtype}.")
    if len(labels) and not 0 <= int(labels.min()) <= int(labels.max()) < log_p.shape[1]:
        raise InputError(f"labels must lie in 0 to {log_p.shape[1] - 1}, the classes of the log-probabilities.")


def check_bins(bins: int) -> None:
    """Raises InputError for fewer than one."""
    if bins < 1:
        raise InputError(f"bins must be at least 1, got {bins}.")


def cross_entropy(log_p: Tensor, log_q: Tensor) -> Tensor:
    """H(p, q) = −Σ p log q; inf where q = 0 < p."""
    p = log_p.exp()
    return -torch.where(p > 0, p * log_q, 0.0).sum(1)


def entropy(log_p: Tensor) -> Tensor:
    """H(p) = −Σ p log p."""
    return cross_entropy(log_p, log_p)


def divergence(log_p: Tensor, log_q: Tensor) -> Tensor:
    """D(p‖q) = Σ p log p/q; inf where q = 0 < p."""
    p = log_p.exp()
    return torch.where(p > 0, p * (log_p - log_q), 0.0).sum(1)


def jensen_shannon(log_p: Tensor, log_q: Tensor) -> Tensor:
    """½ D(p‖m) + ½ D(q‖m) with m = ½ (p + q): symmetric, finite, at most log 2."""
    middle = torch.logaddexp(log_p, log_q) - np.log(2)
    return (divergence(log_p, middle) + divergence(log_q, middle)) / 2


def total_variation(log_p: Tensor, log_q: Tensor) -> Tensor:
    """½ Σ |p − q|, in [0, 1]."""
    return (log_p.exp() - log_q.exp()).abs().sum(1) / 2


def second_best(log_p: Tensor, counts: Tensor) -> Tensor:
    """Whether the model's second class is people's second class: 1 or 0, NaN where people have none.

    People's second classes are those with the most votes after their first one (the lowest index of a tie for the
    first place counts as the first); any class tied for the second place will do. People who all agree have none.
    """
    counts = check_counts(counts)
    first = counts.argmax(1, keepdim=True)
    rest = counts.double().scatter(1, first, -1.0)
    most = rest.amax(1, keepdim=True)
    model = log_p.topk(2, dim=1).indices[:, 1:]
    agrees = (rest.gather(1, model) == most).squeeze(1).double()
    return torch.where(most.squeeze(1) > 0, agrees, torch.nan)


def split_half(counts: Tensor, pseudo: float, generator: Generator) -> Tensor:
    """D(half‖other half) of people with themselves: the votes of each image dealt into two halves at random.

    What remains between two halves of the same people is the noise of few votes: a model is not expected to come
    closer. Both halves are smoothed; an odd vote goes to the first.

    Raises:
        InputError: counts that are no whole numbers, or an image with fewer than two votes.
    """
    counts = check_counts(counts)
    if not are_votes(counts):
        raise InputError("a split-half floor needs whole numbers of votes.")
    votes = counts.long()
    if (votes.sum(1) < 2).any():
        raise InputError("a split-half floor needs at least two votes for each image.")
    width = int(votes.sum(1).max())
    classes = torch.arange(votes.shape[1]).repeat(len(votes), 1)
    # Each image's votes as a row of classes, padded; a random order deals them.
    padding = width - votes.sum(1, keepdim=True)
    row = torch.cat([classes, torch.full((len(votes), 1), -1)], 1)
    dealt = row.flatten().repeat_interleave(torch.cat([votes, padding], 1).flatten()).view(len(votes), width)
    keys = torch.rand(dealt.shape, generator=generator, dtype=torch.float64).masked_fill(dealt < 0, 2.0)
    dealt = dealt.gather(1, keys.argsort(1))
    half = (votes.sum(1, keepdim=True) + 1) // 2
    mine = (torch.arange(width) < half) & (dealt >= 0)
    first = torch.zeros_like(votes).scatter_add(1, dealt.clamp_min(0), mine.long())
    return divergence(smoothed(first, pseudo), smoothed(votes - first, pseudo))


def nll(log_p: Tensor, labels: Tensor) -> Tensor:
    """−log p(label). Raises what `check_log_probabilities` does."""
    check_log_probabilities(log_p, labels)
    return -log_p.gather(1, labels.long().unsqueeze(1)).squeeze(1)


def brier(log_p: Tensor, labels: Tensor) -> Tensor:
    """Σ_c (p_c − [c = label])², in [0, 2] (Brier 1950). Raises what `check_log_probabilities` does."""
    check_log_probabilities(log_p, labels)
    p = log_p.exp()
    hard = one_hot(labels.long(), p.shape[1])
    return (p - hard).square().sum(1)


@dataclass(frozen=True)
class Bins:
    """A reliability diagram: for each bin its mean confidence, its accuracy and its number of images; (…, bins)."""

    confidence: Tensor
    accuracy: Tensor
    count: Tensor

    @property
    def error(self) -> Tensor:
        """Expected calibration error (…): the mean of |accuracy − confidence|, weighted by the bins' images."""
        gaps = torch.where(self.count > 0, (self.accuracy - self.confidence).abs() * self.count, 0.0)
        return gaps.sum(-1) / self.count.sum(-1)


def reliability(log_p: Tensor, labels: Tensor, bins: int = 15, *, adaptive: bool = False) -> Bins:
    """Bins of equal width ((k−1)/K, k/K] over the confidence max p (Guo et al. 2017), or of equal numbers of images.

    A confidence of exactly 1 lies in the last bin. Empty bins have NaN. ``adaptive`` bins hold the images in the order
    of their confidence, their sizes within one of each other (Nguyen and O'Connor 2015).

    Raises:
        InputError: what `check_log_probabilities` refuses, such as logits; fewer than one bin.
    """
    check_bins(bins)
    check_log_probabilities(log_p, labels)
    confidence, predicted = log_p.exp().max(1)
    return bins_of(confidence, (predicted == labels).double(), bins, adaptive=adaptive)


def bins_of(
    confidence: Tensor, right: Tensor, bins: int, *, adaptive: bool = False, weights: Tensor | None = None
) -> Bins:
    """The same from confidences (N,) and whether each image is right (N,), float64.

    ``weights`` (…, N), whole numbers, are how often each image is there: a diagram for each row, as of the images
    repeated. Where a bin of equal numbers ends among images of one confidence, those that come first fill it first.
    """
    check_bins(bins)
    weights = torch.ones_like(confidence) if weights is None else weights
    order = confidence.argsort(stable=True)
    confidence, right, weights = confidence[order], right[order], weights.gather(-1, order.expand_as(weights))
    # In this order a bin is a stretch of the repeated images, of either kind; only its ends differ.
    upto = weights.cumsum(-1)
    steps = torch.arange(bins + 1, dtype=confidence.dtype, device=confidence.device)
    if adaptive:
        ends = (steps * upto[..., -1:] / bins).ceil()
    else:
        within = torch.searchsorted(confidence, steps / bins, right=True)
        within[0], within[-1] = 0, len(confidence)  # also a confidence that rounding takes out of (0, 1]
        ends = pad(upto, (1, 0))[..., within]
    at = torch.searchsorted(upto, ends)  # the image on which a bin ends
    beyond = upto.gather(-1, at) - ends  # so many of its repeats are the next bin's

    def sums(values: Tensor) -> Tensor:
        return ((weights * values).cumsum(-1).gather(-1, at) - beyond * values[at]).diff()

    count = ends.diff()
    return Bins(sums(confidence) / count, sums(right) / count, count)


def against_labels(log_p: Tensor, labels: Tensor) -> Mapping[str, Tensor]:
    """Quantity → terms, of what needs no people."""
    return {
        "nll": nll(log_p, labels),
        "brier": brier(log_p, labels),
        "entropy_model": entropy(log_p),
    }


def against_people(
    log_p: Tensor, counts: Tensor, smoothing: Sequence[float]
) -> list[tuple[str, dict[str, float], Tensor]]:
    """(quantity, params, terms): both directions at every smoothing, 0 (people's raw frequencies) among them."""
    check_log_probabilities(log_p)
    raw = smoothed(counts, 0)
    found: list[tuple[str, dict[str, float], Tensor]] = [
        ("soft_cross_entropy", {}, cross_entropy(raw, log_p)),
        ("jensen_shannon", {}, jensen_shannon(raw, log_p)),
        ("total_variation", {}, total_variation(raw, log_p)),
        ("second_best", {}, second_best(log_p, counts)),
    ]
    for pseudo in (0.0, *smoothing):
        people = smoothed(counts, pseudo)
        found.append(("human_model", {"smoothing": pseudo}, divergence(people, log_p)))
        found.append(("model_human", {"smoothing": pseudo}, divergence(log_p, people)))
    return found


def rank_correlation(first: Tensor, second: Tensor, weights: Tensor) -> Tensor:
    """Spearman's (R,), of images of which each row of weights (R, N), whole numbers, holds so many.

    Ties have their mean rank. NaN where one of the two is the same for all images of a row.
    """
    x, y = (_centred_ranks(values, weights) for values in (first, second))
    return (weights * x * y).sum(1) / ((weights * x * x).sum(1) * (weights * y * y).sum(1)).sqrt()


def _centred_ranks(values: Tensor, weights: Tensor) -> Tensor:
    """Twice the rank of each image among the repeated ones (R, N), less twice the mean rank: whole numbers, so exact.

    Images that equal it hold the ranks below + 1 … upto, whose mean is (below + upto + 1) / 2.
    """
    ordered, order = values.sort()
    held = pad(weights.gather(-1, order.expand_as(weights)).cumsum(-1), (1, 0))
    below, upto = (torch.searchsorted(ordered, values, right=right).expand_as(weights) for right in (False, True))
    return held.gather(-1, below) + held.gather(-1, upto) - held[:, -1:]
