"""Losses on `SpanScores`: the class-imbalance loss of the paper, and binary cross-entropy for the ablation.

Eq. 11 of a sample and an entity type a, over its spans (i, j), gold (pos) or not (neg), with threshold s_TH:

    log(e^s_TH + sum_neg e^s_aij)  +  log(e^-s_TH + sum_pos e^-s_aij)

The positives are few and listed, so the second term is computed here from their scores. The negatives are all other
spans, n (n + 1) / 2 of each type, and their scores are never held all at once: `SpanScores.negative_logsumexp` has
log sum_neg e^s from

- `shared_reductions.shared_row_logsumexp` where all types share query and key (Efficient GlobalPointer),
- `per_type_reductions.row_logsumexp` where each has its own (GlobalPointer),

which both leave the positives out of the sum: to subtract them would lose every digit once they score high.
"""

import torch
from torch import Tensor

from .span_scores import SpanScores


def class_imbalance_loss(scores: SpanScores, positives: Tensor, threshold: float = 0.0) -> Tensor:
    """Eq. 11 (eq. 13 where the threshold is 0), averaged over samples and types.

    Args:
        scores (`SpanScores`): The scores of B samples and E types.
        positives (`torch.LongTensor` of shape `(B, M, 3)`): Distinct gold spans, padded with -100.
        threshold (`float`, *optional*, defaults to 0.0): s_TH.

    Returns:
        Scalar float tensor, never negative.
    """
    log_negative_sum, positive_scores = scores.negative_logsumexp(positives)
    first_term = torch.logaddexp(log_negative_sum, log_negative_sum.new_full((), threshold))
    label, negated = _labels_and_negated(positive_scores, positives)
    # The second term is a log-sum-exp by type; the highest of its terms is taken out, so that none overflows.
    shift = negated.new_full(first_term.shape, -threshold).scatter_reduce(1, label, negated.detach(), "amax")
    total = (-threshold - shift).exp().scatter_add(1, label, (negated - shift.gather(1, label)).exp())
    second_term = shift + total.log()
    return (first_term + second_term).mean()


def binary_cross_entropy_loss(scores: SpanScores, positives: Tensor, threshold: float = 0.0) -> Tensor:
    """Binary cross-entropy of s - s_TH, averaged over the valid spans of each sample and type, then over all of them.

    Args and returns: as in [`class_imbalance_loss`].
    """
    negative_sum, positive_scores = scores.negative_softplus(positives, threshold)
    label, negated = _labels_and_negated(positive_scores, positives)
    total = negative_sum.scatter_add(1, label, torch.nn.functional.softplus(negated))
    return (total / scores.num_spans().clamp(min=1)[:, None]).mean()


def _labels_and_negated(positive_scores: Tensor, positives: Tensor) -> tuple[Tensor, Tensor]:
    """The type of each positive and its score times -1, both `(B, M)`; 0 and -inf for padding, which adds nothing."""
    label = positives[..., 0]
    return label.clamp(min=0), (-positive_scores).masked_fill(label < 0, -torch.inf)


LOSSES = {"class_imbalance": class_imbalance_loss, "bce": binary_cross_entropy_loss}
