"""The spans that score over a threshold, found without ever holding the scores of all spans of all types."""

from collections.abc import Iterator
from typing import Any, cast

import torch
from torch import Tensor
from transformers.utils import logging

from .per_type_reductions import TypeMatrices
from .span_blocks import NAMESPACE, PADDING, Pieces, block_scores, index_in_group, negative_blocks
from .span_decoding import CharSpan, Overlap, select_spans


logger = logging.get_logger(__name__)


@torch.library.custom_op(f"{NAMESPACE}::spans_above", mutates_args=())
def spans_above(
    query: Tensor,
    key: Tensor,
    start: Tensor | None,
    end: Tensor | None,
    mask: Tensor,
    limits: Tensor,
    max_spans: int | None,
    max_span_length: int | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Find the spans whose score is greater than their type's limit; a custom operator, one node for `torch.compile`.

    Args:
        query (`torch.FloatTensor` of shape `(B, E or 1, n, d)`): As in `SpanScores`, like the next four.
        key (`torch.FloatTensor` of shape `(B, E or 1, n, d)`): Keys.
        start (`torch.FloatTensor` of shape `(B, E, n)`, *optional*): What a type adds for its start token.
        end (`torch.FloatTensor` of shape `(B, E, n)`, *optional*): What a type adds for its end token.
        mask (`torch.BoolTensor` of shape `(B, 2, n)`): The tokens that may begin, and that may end a span.
        limits (`torch.FloatTensor` of shape `(E,)`): The limit of each type.
        max_spans (`int`, *optional*):
            Keep no more than this many spans of a sample: those that score highest; of two that score the same, the
            one that comes first. What is left out is counted, and said once.
        max_span_length (`int`, *optional*): The most tokens of a span.

    Returns:
        Spans `(B, K, 3)` ordered by start token, then the longer first, then type, padded with -100; their scores
        `(B, K)`, padded with -inf; and the number of spans left out, an integer tensor.

    Raises:
        FloatingPointError: If scores are no finite numbers, so that there is nothing to find.
    """
    samples, n, num_labels = len(mask), mask.shape[-1], len(limits)
    _check_finite(query, key, start, end, mask)
    with torch.autocast(query.device.type, enabled=False):
        if start is not None and end is not None:
            hits = _shared_hits(query[:, 0], key[:, 0], start, end, mask, limits, max_span_length)
        else:
            hits = _type_hits(query, key, mask, limits, max_span_length)
        codes, scores = mask.new_empty(0, dtype=torch.long), query.new_empty(0)
        found = 0
        for sample, label, start_token, end_token, values in hits:
            # The number of a span says its place in the order.
            code = ((sample * n + start_token) * n + (n - 1 - end_token)) * num_labels + label
            codes, scores = torch.cat([codes, code]), torch.cat([scores, values])
            found += len(code)
            if max_spans is not None and len(codes) > 4 * samples * max_spans:
                codes, scores = _best(codes, scores, samples, n * n * num_labels, max_spans)
    codes, scores = _best(codes, scores, samples, n * n * num_labels, max_spans)
    if found > len(codes):
        logger.warning_once(
            f"More than {max_spans} spans of one input score over the threshold, and the lowest are left out. Either "
            "the model is untrained, or this text is unlike its training texts: read it in shorter windows "
            "(`max_length`), set the rules of the data (`find_span_rules`), or train with joined texts "
            "(`ExampleDataset`). If all spans are wanted, raise `config.max_spans`."
        )
    rows = torch.stack([codes % num_labels, codes // num_labels // n % n, n - 1 - codes // num_labels % n], dim=-1)
    padded = _pad(codes // (n * n * num_labels), rows, scores, samples)
    return *padded, torch.tensor(found - len(codes), device=mask.device)


def _check_finite(query: Tensor, key: Tensor, start: Tensor | None, end: Tensor | None, mask: Tensor) -> None:
    """Raise a `FloatingPointError` if a factor of the scores is no finite number, by sums that are then not either."""
    parts = [query.sum((1, 3)), key.sum((1, 3)), *(part.sum(1) for part in (start, end) if part is not None)]
    if not torch.stack(parts).isfinite().logical_or_(~mask.any(1)).all():
        raise FloatingPointError(
            "The scores of spans are not finite numbers (NaN or infinite): the model's weights are damaged, its "
            "training diverged (try a lower learning rate), or float16 is too narrow for its encoder (use bfloat16 or "
            "float32)."
        )


def _pad(sample: Tensor, rows: Tensor, scores: Tensor, samples: int) -> tuple[Tensor, Tensor]:
    """Spans `(N, 3)` and scores `(N,)`, given in order of their sample, as rows of each sample."""
    index = index_in_group(sample, samples)
    most = int(index.max()) + 1 if len(index) else 0
    spans = rows.new_full((samples, most, 3), PADDING)
    spans[sample, index] = rows
    padded = scores.new_full((samples, most), -torch.inf)
    padded[sample, index] = scores
    return spans, padded


@spans_above.register_fake
def _(
    query: Tensor, key: Tensor, start: Tensor | None, end: Tensor | None, mask: Tensor, limits: Tensor, *options: Any
) -> tuple[Tensor, Tensor, Tensor]:
    most = torch.library.get_ctx().new_dynamic_size()
    spans = mask.new_empty((len(mask), most, 3), dtype=torch.long)
    return spans, query.new_empty((len(mask), most)), mask.new_empty((), dtype=torch.long)


@torch.library.custom_op(f"{NAMESPACE}::selected_rows", mutates_args=())
def selected_rows(spans: Tensor, scores: Tensor, overlap: str) -> tuple[Tensor, Tensor]:
    """Choose among the spans of each sample, as [`select_spans`] does; a custom operator, like `spans_above`.

    Args:
        spans (`torch.LongTensor` of shape `(B, K, 3)`): Rows (label, start, end), padded with -100.
        scores (`torch.FloatTensor` of shape `(B, K)`): Their scores.
        overlap (`str`): `"all"`, `"nested"` or `"flat"`.

    Returns:
        Spans `(B, k, 3)` in the same order, and their scores `(B, k)`, padded as before.
    """
    kept = torch.zeros_like(scores, dtype=torch.bool)
    for sample, (rows, values) in enumerate(zip(spans.tolist(), scores.tolist(), strict=True)):
        # The place in the row stands for the type, whose number no rule looks at.
        chars = [
            CharSpan(start_token, end_token + 1, f"{place:09}", score)
            for place, ((label, start_token, end_token), score) in enumerate(zip(rows, values, strict=True))
            if label >= 0
        ]
        kept[sample, [int(span.label) for span in select_spans(chars, cast(Overlap, overlap))]] = True
    return _pad(kept.nonzero()[:, 0], spans[kept], scores[kept], len(spans))


@selected_rows.register_fake
def _(spans: Tensor, scores: Tensor, overlap: str) -> tuple[Tensor, Tensor]:
    most = torch.library.get_ctx().new_dynamic_size()
    return spans.new_empty((len(spans), most, 3)), scores.new_empty((len(spans), most))


Hits = Iterator[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]


def _shared_hits(
    query: Tensor,
    key: Tensor,
    start: Tensor,
    end: Tensor,
    mask: Tensor,
    limits: Tensor,
    max_span_length: int | None,
) -> Hits:
    """As `_type_hits`; pairs of tokens that no type can lift over its limit are skipped."""
    may_begin, may_end = mask.unbind(1)
    best_start = (start - limits[:, None]).amax(1).masked_fill(~may_begin, -torch.inf)
    best_end = end.amax(1).masked_fill(~may_end, -torch.inf)
    # The bound is a sum in another order than the score; rounding must not pass over a span at the threshold.
    largest = sum(part.masked_fill(part == -torch.inf, 0.0).abs().max() for part in (best_start, best_end))
    least = -1e-5 * (1 + largest)
    by_token = start.transpose(1, 2).contiguous(), end.transpose(1, 2).contiguous()
    step = max(1, block_scores(query.device) // len(limits))
    pieces = Pieces.of(mask.shape[-1], max_span_length)
    best_start, best_end = pieces.starts(best_start)[..., None], pieces.ends(best_end)[:, None]
    cut = pieces.starts(query, 1), pieces.ends(key, 1), pieces.ends(may_end)
    nothing = mask.new_empty((0, 4), dtype=torch.long)
    for group, rows, columns, scores, _ in negative_blocks(*cut, nothing, pieces, max_span_length):
        bound = scores + best_start[group, rows]
        bound += best_end[group, :, columns]
        piece, start_token, end_token = (bound > least).nonzero().unbind(-1)
        pairs = scores[piece, start_token, end_token]
        sample, offset = pieces.texts(piece + group.start)
        start_token, end_token = start_token + rows.start + offset, end_token + columns.start + offset
        for begin in range(0, len(pairs), step):
            s, i, j = (x[begin : begin + step] for x in (sample, start_token, end_token))
            values = pairs[begin : begin + step, None] + by_token[0][s, i] + by_token[1][s, j]
            hit, label = (values > limits).nonzero().unbind(-1)
            yield s[hit], label, i[hit], j[hit], values[hit, label]


def _type_hits(query: Tensor, key: Tensor, mask: Tensor, limits: Tensor, max_span_length: int | None) -> Hits:
    """Yield samples, types, start tokens, end tokens and scores of spans over the limits, block by block."""
    nothing = mask.new_empty((len(mask), 0, 3), dtype=torch.long)
    matrices = TypeMatrices(query, key, mask, nothing, max_span_length)
    pieces = matrices.pieces
    limit = pieces.of_each(limits.repeat(len(mask)))[:, None, None]
    for group, rows, columns, scores in matrices.blocks():
        over = (scores > limit[group]).logical_and_(matrices.may_begin[group, rows, None])
        piece, start_token, end_token = over.nonzero().unbind(-1)
        values = scores[piece, start_token, end_token]
        matrix, offset = pieces.texts(piece + group.start)
        start_token, end_token = start_token + rows.start + offset, end_token + columns.start + offset
        yield matrix // len(limits), matrix % len(limits), start_token, end_token, values


def _best(
    codes: Tensor, scores: Tensor, samples: int, codes_per_sample: int, max_spans: int | None
) -> tuple[Tensor, Tensor]:
    """Sort by code, and keep the highest scores of each sample."""
    order = codes.argsort()
    codes, scores = codes[order], scores[order]
    if max_spans is None or len(codes) <= max_spans:
        return codes, scores
    ranked = scores.argsort(descending=True, stable=True)
    sample = codes[ranked] // codes_per_sample
    by_sample = sample.argsort(stable=True)
    kept = ranked[by_sample][index_in_group(sample[by_sample], samples) < max_spans].sort().values
    return codes[kept], scores[kept]
