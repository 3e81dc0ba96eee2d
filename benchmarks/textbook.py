"""The usual implementation of GlobalPointer, to measure against: dense scores, dense labels, masks by subtraction.

Written from the equations of the paper: a score tensor [batch, types, n, n], labels of the same shape, padding and the
lower triangle pushed down by a large constant, and the loss as two log-sum-exps over all cells.
"""

import torch
from torch import Tensor

from hf_globalpointer import SpanScores


LARGE = 1e12


def dense_scores(scores: SpanScores) -> Tensor:
    """All scores `(B, E, n, n)` from the factors of a `SpanScores`."""
    dense = torch.einsum("bhid,bhjd->bhij", scores.query, scores.key)
    if scores.start is not None and scores.end is not None:
        dense = dense + scores.start[..., :, None] + scores.end[..., None, :]
    valid = scores.mask[:, :1, :, None].float() * scores.mask[:, 1:, None, :].float()
    dense = dense * valid - (1 - valid) * LARGE
    return dense - torch.ones_like(dense[0, 0]).tril(-1) * LARGE


def loss(scores: SpanScores, labels: Tensor) -> Tensor:
    """Class-imbalance loss (eq. 13) from dense 0/1 labels `(B, E, n, n)`."""
    predicted, labels = dense_scores(scores).flatten(2), labels.flatten(2)
    signed = (1 - 2 * labels) * predicted
    zero = torch.zeros_like(signed[..., :1])
    negative = torch.cat([signed - labels * LARGE, zero], dim=-1).logsumexp(-1)
    positive = torch.cat([signed - (1 - labels) * LARGE, zero], dim=-1).logsumexp(-1)
    return (negative + positive).mean()


def above(scores: SpanScores, threshold: float) -> Tensor:
    """The cells (sample, type, first, last) over a threshold."""
    return (dense_scores(scores) > threshold).nonzero()
