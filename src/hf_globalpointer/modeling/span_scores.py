"""Scores of all spans of all entity types, kept as factors.

Notation for shapes, here and in the heads and losses: B samples, E entity types, n tokens, d head size, M listed
spans, K kept spans. A span is a row (label, start token, end token), both tokens included, or -100 for padding.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .per_type_reductions import row_logsumexp, row_softplus
from .shared_reductions import shared_row_logsumexp
from .span_blocks import scores_at
from .span_decoding import Overlap
from .span_search import selected_rows, spans_above


class ScoredSpans(NamedTuple):
    """Spans with their scores, ordered by start token, then the longer first, then type.

    Attributes:
        spans (`torch.LongTensor` of shape `(B, K, 3)`): Rows (label, start, end), padded with -100.
        scores (`torch.FloatTensor` of shape `(B, K)`): The score of each row, -inf where it is padding.
        num_cut (`torch.LongTensor` of shape `()`): How many spans over the threshold were left out by `max_spans`.
    """

    spans: Tensor
    scores: Tensor
    num_cut: Tensor

    def select(self, overlap: Overlap) -> "ScoredSpans":
        """Those of each sample that may go together.

        Args:
            overlap (`str`): `"all"`, `"nested"` (none that cross) or `"flat"` (none that overlap); the higher score
                wins, see [`select_spans`].

        Raises:
            ValueError: If `overlap` is none of the three.
        """
        if overlap == "all":
            return self
        spans, scores = selected_rows(self.spans, self.scores, overlap)
        return self._replace(spans=spans, scores=scores)


@dataclass(frozen=True)
class SpanScores:
    """s[a,i,j] = query[h(a),i] . key[h(a),j] + start[a,i] + end[a,j], for all types a and all spans i <= j.

    Covers eq. 4-7 of the paper. With one head per type, h(a) = a; with one shared head, h(a) = 0. With
    `max_span_length`, what has more tokens is no span: it has no score anywhere, and costs nothing.

    Args:
        query (`torch.FloatTensor` of shape `(B, E or 1, n, d)`): Rotated queries, already divided by sqrt(d).
        key (`torch.FloatTensor` of shape `(B, E or 1, n, d)`): Rotated keys.
        start (`torch.FloatTensor` of shape `(B, E, n)`, *optional*): What a type adds for its start token.
        end (`torch.FloatTensor` of shape `(B, E, n)`, *optional*): What a type adds for its end token.
        mask (`torch.BoolTensor` of shape `(B, 2, n)`): The tokens that may begin, and those that may end a span.
        max_span_length (`int`, *optional*): The most tokens of a span.
    """

    query: Tensor
    key: Tensor
    start: Tensor | None
    end: Tensor | None
    mask: Tensor
    max_span_length: int | None = None

    @property
    def num_labels(self) -> int:
        """E, the number of entity types."""
        return self.query.shape[1] if self.start is None else self.start.shape[1]

    def valid(self) -> Tensor:
        """Bool `(B, n, n)`: the pairs (i, j) with i <= j < i + max_span_length where i may begin and j end a span."""
        pairs = (self.mask[:, 0, :, None] & self.mask[:, 1, None, :]).triu()
        return pairs if self.max_span_length is None else pairs.tril(self.max_span_length - 1)

    def num_spans(self) -> Tensor:
        """Long `(B,)`: the number of valid spans of each sample."""
        begins = self.mask[:, 0].cumsum(-1)
        if self.max_span_length is not None:
            # Of those up to a token, without those that begin too long before it.
            too_early = begins[:, : -self.max_span_length]
            begins = torch.cat([begins[:, : self.max_span_length], begins[:, self.max_span_length :] - too_early], -1)
        return (begins * self.mask[:, 1]).sum(-1)

    def dense(self, fill: float = -torch.inf) -> Tensor:
        """Float `(B, E, n, n)`: the score of every span, `fill` where there is no valid span."""
        with torch.autocast(self.query.device.type, enabled=False):
            scores = self.query @ self.key.transpose(-1, -2)
        if self.start is not None and self.end is not None:
            scores = scores + self.start[..., :, None] + self.end[..., None, :]
        return scores.masked_fill(~self.valid()[:, None], fill)

    def at(self, spans: Tensor) -> Tensor:
        """Scores of listed spans.

        Args:
            spans (`torch.LongTensor` of shape `(B, M, 3)`): Rows (label, start, end), padded with -100.

        Returns:
            Float `(B, M)`: the score of each row, -inf for padding and for what is longer than `max_span_length`.
        """
        scores = scores_at(self.query, self.key, self.start, self.end, spans)
        if self.max_span_length is None:
            return scores
        return scores.masked_fill(spans[..., 2] - spans[..., 1] >= self.max_span_length, -torch.inf)

    def negative_logsumexp(self, positives: Tensor) -> tuple[Tensor, Tensor]:
        """The log-sum-exp of the scores of the negative spans, log sum_neg e^s of eq. 11.

        Args:
            positives (`torch.LongTensor` of shape `(B, M, 3)`): The spans left out, padded with -100.

        Returns:
            Float `(B, E)`, very low where there is no negative span; and, from the same pass, the scores of the
            positives as of [`at`], float `(B, M)`.
        """
        spans = self.mask, positives, self.max_span_length
        if self.start is not None and self.end is not None:
            total, listed, *_ = shared_row_logsumexp(self.query, self.key, self.start, self.end, *spans)
            return total, listed
        rows, listed = row_logsumexp(self.query, self.key, *spans)
        return rows.logsumexp(-1), listed

    def negative_softplus(self, positives: Tensor, threshold: float = 0.0) -> tuple[Tensor, Tensor]:
        """Sum of log(1 + e^(s - threshold)) over the negative spans: their share of the binary cross-entropy.

        Args:
            positives (`torch.LongTensor` of shape `(B, M, 3)`): The spans left out, padded with -100.
            threshold (`float`, *optional*, defaults to 0.0): The score at which a span has probability 0.5.

        Returns:
            Float `(B, E)`; and, from the same pass, s - threshold of the positives, float `(B, M)`, -inf for padding.
        """
        # No product of factors, so the scores of each type are needed: start and end become two more dimensions.
        zeros = self.query.new_zeros(len(self.mask), self.num_labels, self.mask.shape[-1])
        start, end = (zeros if part is None else part for part in (self.start, self.end))
        query, key = (part.expand(-1, self.num_labels, -1, -1) for part in (self.query, self.key))
        query = torch.cat([query, torch.stack([start - threshold, zeros + 1], dim=-1)], dim=-1)
        key = torch.cat([key, torch.stack([zeros + 1, end], dim=-1)], dim=-1)
        rows, listed = row_softplus(query, key, self.mask, positives, self.max_span_length)
        return rows.sum(-1), listed

    def above(self, threshold: float | Tensor, max_spans: int | None = None) -> ScoredSpans:
        """The spans that score higher than a threshold, in a deterministic order.

        Args:
            threshold (`float` or `torch.FloatTensor` of shape `(E,)`): One threshold, or one for each type.
            max_spans (`int`, *optional*): Keep no more than this many spans of a sample: those that score highest; of
                two that score the same, the one that comes first in the order.
        """
        limits = torch.as_tensor(threshold, dtype=self.query.dtype, device=self.query.device).expand(self.num_labels)
        parts = self.query, self.key, self.start, self.end, self.mask
        return ScoredSpans(*spans_above(*parts, limits.contiguous(), max_spans, self.max_span_length))
