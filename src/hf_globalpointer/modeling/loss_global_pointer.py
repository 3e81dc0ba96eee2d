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
    negative = scores.negative_logsumexp(positives, threshold)
    return (negative + _positive_logsumexp(scores, positives, threshold)).mean()


def binary_cross_entropy_loss(scores: SpanScores, positives: Tensor, threshold: float = 0.0) -> Tensor:
    """Binary cross-entropy of s - s_TH, averaged over the valid spans of each sample and type, then over all of them.

    Args and returns: as in [`class_imbalance_loss`].
    """
    types, is_gold = _types_and_presence(positives)
    negated = (threshold - scores.at(positives)).masked_fill(~is_gold, -torch.inf)
    total = scores.negative_softplus(positives, threshold)
    total = total.scatter_add(1, types, torch.nn.functional.softplus(negated))
    num_tokens = scores.mask.sum(1)
    num_spans = (num_tokens * (num_tokens + 1) // 2).clamp(min=1)
    return (total / num_spans[:, None]).mean()


def _positive_logsumexp(scores: SpanScores, positives: Tensor, threshold: float) -> Tensor:
    """log(e^-threshold + sum of e^-s over the positives) for each sample and type, `(B, E)`."""
    types, is_gold = _types_and_presence(positives)
    negated = (-scores.at(positives)).masked_fill(~is_gold, -torch.inf)
    shape = len(positives), scores.num_types
    shift = negated.new_full(shape, -threshold).scatter_reduce(1, types, negated.detach(), "amax")
    total = (-threshold - shift).exp().scatter_add(1, types, (negated - shift.gather(1, types)).exp())
    return shift + total.log()


def _types_and_presence(positives: Tensor) -> tuple[Tensor, Tensor]:
    """The type of each row `(B, M)`, 0 for padding, and whether the row is one at all."""
    types = positives[..., 0]
    return types.clamp(min=0), types >= 0


LOSSES = {"class_imbalance": class_imbalance_loss, "bce": binary_cross_entropy_loss}
