"""Classwise calibration error (Kull et al. 2019): is every class's probability right, not the greatest alone?"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import one_hot

from .measures import check_bins, check_log_probabilities


def classwise_gaps(log_p: Tensor, labels: Tensor, bins: int = 15) -> Tensor:
    """What each image adds to each bin of each class: [y = c] − p_c in the bin of p_c, else 0; sparse (C·bins, N).

    Bins are of equal width, ((k−1)/K, k/K]; 0 lies in the first.

    Raises:
        InputError: fewer than one bin; what are no log-probabilities and labels.
    """
    check_bins(bins)
    check_log_probabilities(log_p, labels)
    p = log_p.exp()
    n, classes = p.shape
    edges = torch.arange(1, bins, dtype=p.dtype, device=p.device) / bins
    rows = torch.arange(classes, device=p.device) * bins + torch.bucketize(p, edges)
    images = torch.arange(n, device=p.device).unsqueeze(1).expand_as(rows)
    gaps = one_hot(labels.long(), classes) - p
    places = torch.stack([rows.flatten(), images.flatten()])
    shape = (classes * bins, n)
    return torch.sparse_coo_tensor(places, gaps.flatten(), shape, check_invariants=True).coalesce()


def classwise_error(gaps: Tensor, classes: int, weights: Tensor) -> Tensor:
    """(R,): the mean over classes of the ECE of p_c as a probability of y = c.

    That is Σ over bins of |Σ over images of [y = c] − p_c| / n: the counts of a bin's images cancel, and all rows of
    weights are one product with the gaps. Kull et al. 2019, section 2; the same as the SCE of Nixon et al. 2019.

    Args:
        gaps: those of `classwise_gaps`.
        weights: (R, N), whole numbers, how often each image is there.
    """
    return (gaps @ weights.T).abs().sum(0) / (weights.sum(1) * classes)
