"""The spans that score over a threshold, in NumPy: as `modeling/span_search.py`, block by block and with its bound."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


Floats = NDArray[np.float32]
Integers = NDArray[np.int64]
# Labels, start tokens, end tokens and scores of spans.
_Hits = Iterator[tuple[Integers, Integers, Integers, Floats]]
# Start tokens in a block, and scores in it.
_BLOCK_ROWS, _BLOCK_SCORES = 64, 2**19


class Factors(NamedTuple):
    """The scores of a batch as factors, see [`SpanScores`], of `B` texts of `n` tokens.

    Args:
        query (`NDArray` of shape `(B, E or 1, n, d)`): Rotated queries, divided by sqrt(d).
        key (`NDArray` of shape `(B, E or 1, n, d)`): Rotated keys.
        start (`NDArray` of shape `(B, E, n)`, *optional*): What a label adds for its start token.
        end (`NDArray` of shape `(B, E, n)`, *optional*): What a label adds for its end token.
    """

    query: Floats
    key: Floats
    start: Floats | None = None
    end: Floats | None = None


def spans_above(
    factors: Factors,
    mask: NDArray[np.bool_],
    limits: Floats,
    max_spans: int,
    max_span_length: int | None,
) -> tuple[Integers, Floats, int]:
    """Find the spans whose score is greater than their label's limit.

    Args:
        factors (`Factors`): The scores.
        mask (`NDArray` of shape `(B, 2, n)`): The tokens that may begin, and that may end a span.
        limits (`NDArray` of shape `(E,)`): The limit of each label.
        max_spans (`int`): Keep no more than this many spans of a text: those that score highest; of two that score the
            same, the one that comes first.
        max_span_length (`int`, *optional*): The most tokens of a span.

    Returns:
        Spans (label, start token, end token) `(B, K, 3)` ordered by start token, then the longer first, then label,
        padded with -100; their scores `(B, K)`, padded with -inf; and the number of spans left out.

    Raises:
        FloatingPointError: If scores are no finite numbers, so that there is nothing to find.
    """
    _check_finite(factors, mask)
    found, num_cut = [], 0
    for sample, (may_begin, may_end) in enumerate(mask):
        own = Factors(*(None if part is None else part[sample] for part in factors))  # type: ignore[arg-type]
        label, start, end, score = _hits_of(own, may_begin, may_end, limits, max_span_length)
        order = np.lexsort((label, -end, start))
        label, start, end, score = label[order], start[order], end[order], score[order]
        if len(score) > max_spans:
            num_cut += len(score) - max_spans
            kept = np.sort(np.argsort(-score, kind="stable")[:max_spans])
            label, start, end, score = label[kept], start[kept], end[kept], score[kept]
        found.append((np.stack([label, start, end], axis=-1), score))
    most = max((len(score) for _, score in found), default=0)
    spans = np.full((len(mask), most, 3), -100, dtype=np.int64)
    scores = np.full((len(mask), most), -np.inf, dtype=np.float32)
    for sample, (rows, values) in enumerate(found):
        spans[sample, : len(rows)], scores[sample, : len(rows)] = rows, values
    return spans, scores, num_cut


def _check_finite(factors: Factors, mask: NDArray[np.bool_]) -> None:
    """Raise a `FloatingPointError` if a factor of the scores of a token that counts is no finite number."""
    parts = [factors.query.sum((1, 3)), factors.key.sum((1, 3))]
    parts += [part.sum(1) for part in (factors.start, factors.end) if part is not None]
    if not (np.isfinite(np.stack(parts)) | ~mask.any(1)).all():
        raise FloatingPointError(
            "The scores of spans are not finite numbers (NaN or infinite): the exported model is damaged, or its type "
            "of numbers is too narrow; export it anew in float32."
        )


def _hits_of(
    factors: Factors,
    may_begin: NDArray[np.bool_],
    may_end: NDArray[np.bool_],
    limits: Floats,
    max_span_length: int | None,
) -> tuple[Integers, Integers, Integers, Floats]:
    """All spans of one text that are over the limits."""
    n = len(may_begin)
    longest = n if max_span_length is None else min(n, max_span_length)
    search = _type_hits if factors.start is None else _shared_hits
    # Of tokens that count for nothing, a factor may be no number.
    with np.errstate(invalid="ignore"):
        hits = [*search(factors, may_begin, may_end, limits, longest)]
    if not hits:
        nothing = np.empty(0, dtype=np.int64)
        return nothing, nothing, nothing, np.empty(0, dtype=np.float32)
    label, start, end, score = (np.concatenate(parts) for parts in zip(*hits, strict=True))
    return label, start, end, score


def _blocks(n: int, rows: int, longest: int) -> Iterator[tuple[slice, slice, NDArray[np.bool_]]]:
    """Start tokens, the end tokens that their spans may have, and which pairs of them are spans."""
    for begin in range(0, n, rows):
        starts = slice(begin, min(begin + rows, n))
        ends = slice(begin, min(starts.stop + longest - 1, n))
        length = np.arange(ends.start, ends.stop) - np.arange(starts.start, starts.stop)[:, None]
        yield starts, ends, (length >= 0) & (length < longest)


def _shared_hits(
    factors: Factors, may_begin: NDArray[np.bool_], may_end: NDArray[np.bool_], limits: Floats, longest: int
) -> _Hits:
    """With one query and key for all labels; pairs that no label can lift over its limit are skipped."""
    assert factors.start is not None
    assert factors.end is not None
    query, key, start, end = factors.query[0], factors.key[0], factors.start, factors.end
    best_start = np.where(may_begin, (start - limits[:, None]).max(0), -np.inf)
    best_end = np.where(may_end, end.max(0), -np.inf)
    # The bound is a sum in another order than the score; rounding must not pass over a span at the threshold.
    largest = sum(np.abs(part[np.isfinite(part)]).max(initial=0) for part in (best_start, best_end))
    least = -1e-5 * (1 + largest)
    by_start, by_end = np.ascontiguousarray(start.T), np.ascontiguousarray(end.T)
    step = max(1, _BLOCK_SCORES // len(limits))
    for starts, ends, is_span in _blocks(len(query), _BLOCK_ROWS, longest):
        scores = query[starts] @ key[ends].T
        bound = scores + best_start[starts, None]
        bound += best_end[ends]
        rows, columns = ((bound > least) & is_span).nonzero()
        pairs = scores[rows, columns]
        rows, columns = rows + starts.start, columns + ends.start
        for first in range(0, len(pairs), step):
            i, j = rows[first : first + step], columns[first : first + step]
            values = pairs[first : first + step, None] + by_start[i] + by_end[j]
            hit, label = (values > limits).nonzero()
            yield label, i[hit], j[hit], values[hit, label]


def _type_hits(
    factors: Factors, may_begin: NDArray[np.bool_], may_end: NDArray[np.bool_], limits: Floats, longest: int
) -> _Hits:
    """With a query and a key for each label, some labels at a time."""
    labels, n, _ = factors.query.shape
    width = min(n, _BLOCK_ROWS + longest - 1)
    step = max(1, _BLOCK_SCORES // (min(n, _BLOCK_ROWS) * width))
    for starts, ends, is_span in _blocks(n, _BLOCK_ROWS, longest):
        is_valid = is_span & may_begin[starts, None] & may_end[ends]
        for first in range(0, labels, step):
            some = slice(first, first + step)
            scores = factors.query[some, starts] @ factors.key[some, ends].transpose(0, 2, 1)
            label, row, column = ((scores > limits[some, None, None]) & is_valid).nonzero()
            yield label + first, row + starts.start, column + ends.start, scores[label, row, column]
