"""Losses on `SpanScores`: the class-imbalance loss of the paper, and binary cross-entropy for the ablation."""

import torch
from torch import Tensor

from .span_scores import SpanScores


def class_imbalance_loss(scores: SpanScores, positives: Tensor, threshold: float = 0.0) -> Tensor:
    """Eq. 11 for each sample and type (eq. 13 where the threshold is 0), averaged over all of them.

        log(e^s_TH + sum_neg e^s) + log(e^-s_TH + sum_pos e^-s)

    Args:
        scores (`SpanScores`): The scores of B samples and E types.
        positives (`torch.LongTensor` of shape `(B, M, 3)`): Distinct gold spans, padded with -100.
        threshold (`float`, *optional*, defaults to 0.0): s_TH.

    Returns:
        Scalar float tensor, never negative.
    """
    negative, listed = scores.negative_logsumexp(positives, threshold)
    types, negated = _types_and_negated(listed, positives)
    shift = negated.new_full(negative.shape, -threshold).scatter_reduce(1, types, negated.detach(), "amax")
    total = (-threshold - shift).exp().scatter_add(1, types, (negated - shift.gather(1, types)).exp())
    return (negative + shift + total.log()).mean()


def binary_cross_entropy_loss(scores: SpanScores, positives: Tensor, threshold: float = 0.0) -> Tensor:
    """Binary cross-entropy of s - s_TH, averaged over the valid spans of each sample and type, then over all of them.

    Args and returns: as in [`class_imbalance_loss`].
    """
    negative, listed = scores.negative_softplus(positives, threshold)
    types, negated = _types_and_negated(listed, positives)
    total = negative.scatter_add(1, types, torch.nn.functional.softplus(negated))
    return (total / scores.num_spans().clamp(min=1)[:, None]).mean()


def _types_and_negated(listed: Tensor, positives: Tensor) -> tuple[Tensor, Tensor]:
    """The type of each positive and its score times -1, both `(B, M)`; 0 and -inf for padding, which adds nothing."""
    types = positives[..., 0]
    return types.clamp(min=0), (-listed).masked_fill(types < 0, -torch.inf)


LOSSES = {"class_imbalance": class_imbalance_loss, "bce": binary_cross_entropy_loss}
