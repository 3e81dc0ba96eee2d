"""Scores of spans, in blocks of first tokens: never those of all spans of all types at once.

A block leaves out what is no span: what lies below the diagonal, and what is longer than the longest span. So the work
grows with the number of spans, not with the square of the number of tokens.
"""

from collections.abc import Iterator

import torch
from torch import Tensor


# Operators are known by name to all of a process; a copy of this module that a checkpoint brings along has its own.
NAMESPACE = __name__.rpartition(".")[0].replace(".", "_")
# Fills up rows of spans.
PADDING = -100
# First tokens in a block, and scores in it: on a CPU, what stays in its cache while it is worked on (32 and 128 rows,
# and 2^17 to 2^22 scores, were no faster in benchmarks/head.py); on an accelerator, what should keep it busy.
BLOCK_ROWS = 64
_BLOCK_SCORES = {"cpu": 2**19}
_BLOCK_SCORES_ELSEWHERE = 2**25
# In place of -inf where one would be subtracted from another: far below any score.
LOWEST = -1e30


def block_scores(device: torch.device) -> int:
    """How many scores to work on at a time."""
    return _BLOCK_SCORES.get(device.type, _BLOCK_SCORES_ELSEWHERE)


def block_rows(matrices: int, n: int, max_span_length: int | None, device: torch.device) -> int:
    """How many first tokens make a block: more where it would hold so few scores that calls take most of the time."""
    rows = BLOCK_ROWS
    while rows < n and 8 * matrices * 2 * rows * block_columns(2 * rows, n, max_span_length) <= block_scores(device):
        rows *= 2
    return rows


def block_columns(rows: int, n: int, max_span_length: int | None) -> int:
    """The most last tokens that the spans of so many first tokens have."""
    return n if max_span_length is None else min(n, rows + max_span_length - 1)


def num_blocks(n: int, rows: int) -> int:
    """The number of blocks of so many rows that `n` first tokens make."""
    return -(-n // rows)


def index_in_group(group: Tensor, num_groups: int) -> Tensor:
    """For ascending group numbers `(N,)`: the position of each row among the rows of its group."""
    counts = torch.bincount(group, minlength=num_groups)
    return torch.arange(len(group), device=group.device) - (counts.cumsum(0) - counts)[group]


def upper_blocks(
    query: Tensor, key: Tensor, mask: Tensor, max_span_length: int | None, rows: int
) -> Iterator[tuple[slice, slice, Tensor]]:
    """The scores query_i . key_j of the spans i <= j < i + max_span_length, block by block of first tokens.

    Args:
        query (`torch.FloatTensor` of shape `(G, n, d)`): Queries of G score matrices.
        key (`torch.FloatTensor` of shape `(G, n, d)`): Keys.
        mask (`torch.BoolTensor` of shape `(G, n)`): The tokens that may end a span.
        max_span_length (`int`, *optional*): The most tokens of a span.
        rows (`int`): How many first tokens make a block; see [`block_rows`].

    Yields:
        The first tokens of the block, the last tokens that its spans may have, and the scores `(G, rows, columns)`;
        -inf for what is no span. The scores may be overwritten.
    """
    n = query.shape[1]
    longest = n if max_span_length is None else min(n, max_span_length)
    bias = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(~mask, -torch.inf)[:, None]
    square = torch.ones((rows, rows), dtype=torch.bool, device=query.device)
    # Below its diagonal the last token comes before the first one; on it and above, of what begins `longest` columns
    # later, the span is too long.
    below, beyond = square.tril(-1), square.triu()
    for begin in range(0, n, rows):
        first = slice(begin, min(begin + rows, n))
        last = slice(begin, min(first.stop + longest - 1, n))
        scores = torch.baddbmm(bias[..., last], query[:, first], key[:, last].transpose(1, 2))
        size, width = scores.shape[1:]
        scores[..., :size].masked_fill_(below[:size, :size], -torch.inf)
        if width > longest:
            scores[..., longest:].masked_fill_(beyond[:size, : width - longest], -torch.inf)
        yield first, last, scores


def split_by_tile(positives: Tensor, tile: Tensor, num_tiles: int) -> tuple[Tensor, ...]:
    """The listed spans of each tile of the scores.

    Args:
        positives (`torch.LongTensor` of shape `(B, M, 3)`): Spans, padded with -100.
        tile (`torch.LongTensor` of shape `(B, M)`): The number of the tile that each lies in; of padding, any number.
        num_tiles (`int`): The number of tiles.

    Returns:
        For each tile, rows (sample, type, first, last) `(P, 4)`.
    """
    sample, place = (positives[..., 0] >= 0).nonzero().unbind(-1)
    rows = torch.cat([sample[:, None], positives[sample, place]], dim=1)
    tile, order = tile[sample, place].sort()
    return torch.split(rows[order], torch.bincount(tile, minlength=num_tiles).tolist())


def scores_at(query: Tensor, key: Tensor, start: Tensor | None, end: Tensor | None, spans: Tensor) -> Tensor:
    """Scores `(B, M)` of listed spans, -inf for padding; see `SpanScores.at`."""
    types, first, last = spans.clamp(min=0).unbind(-1)
    sample, head = _sample_and_head(query, types)
    scores = (query[sample, head, first] * key[sample, head, last]).sum(-1)
    if start is not None and end is not None:
        scores = scores + start[sample, types, first] + end[sample, types, last]
    return scores.masked_fill(spans[..., 0] < 0, -torch.inf)


def add_gradients_at(grad: Tensor, spans: Tensor, query: Tensor, key: Tensor, into: tuple[Tensor, ...]) -> None:
    """Add the gradients of `scores_at`, which are few, to those of query and key and, if given, start and end."""
    types, first, last = spans.clamp(min=0).unbind(-1)
    sample, head = _sample_and_head(query, types)
    grad = grad.masked_fill(spans[..., 0] < 0, 0.0)
    into[0].index_put_((sample, head, first), grad[..., None] * key[sample, head, last], accumulate=True)
    into[1].index_put_((sample, head, last), grad[..., None] * query[sample, head, first], accumulate=True)
    for bound, place in zip(into[2:], (first, last), strict=False):
        bound.index_put_((sample, types, place), grad, accumulate=True)


def _sample_and_head(query: Tensor, types: Tensor) -> tuple[Tensor, Tensor]:
    sample = torch.arange(len(types), device=types.device)[:, None].expand_as(types)
    return sample, types if query.shape[1] > 1 else torch.zeros_like(types)
