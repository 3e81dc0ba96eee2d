"""Scores of spans, in blocks of start tokens: never those of all spans of all types at once.

A block leaves out what is no span: what lies below the diagonal, and what is longer than the longest span. So the work
grows with the number of spans, not with the square of the number of tokens. Where spans are short, a block would be
too small to be worth its calls; then a text is cut into pieces, which are worked on together, as samples are.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor


# Operators are known by name to all of a process; a copy of this module that a checkpoint brings along has its own.
NAMESPACE = __name__.rpartition(".")[0].replace(".", "_")
# Fills up rows of spans.
PADDING = -100
# Start tokens in a block, and scores in it: on a CPU, what stays in its cache while it is worked on (32 and 128 rows,
# and 2^17 to 2^22 scores, were no faster in benchmarks/head.py); on an accelerator, what should keep it busy.
BLOCK_ROWS = 64
_BLOCK_SCORES = {"cpu": 2**19}
_BLOCK_SCORES_ELSEWHERE = 2**25
# Start tokens in a piece, at least, and the longest spans for which texts are cut into pieces.
PIECE_ROWS = 32
_LONGEST_IN_PIECES = 128
# In place of -inf where one would be subtracted from another: far below any score.
LOWEST = -1e30


def block_scores(device: torch.device) -> int:
    """How many scores to work on at a time."""
    return _BLOCK_SCORES.get(device.type, _BLOCK_SCORES_ELSEWHERE)


@dataclass(frozen=True)
class Pieces:
    """A text cut into pieces: the spans of a piece begin at `rows` tokens and end at these or the next few.

    The methods go from tensors of texts `(G, ..., n, ...)`, whose dimension `dim` is that of the tokens, to those of
    pieces, `(G * count, ..., rows or columns, ...)`, and back. Whoever wants no pieces has one, the text.

    Args:
        n (`int`): The tokens of a text.
        count (`int`): The pieces of a text.
        rows (`int`): The start tokens of a piece.
        columns (`int`): The end tokens that its spans may have.
    """

    n: int
    count: int
    rows: int
    columns: int

    @classmethod
    def of(cls, n: int, max_span_length: int | None) -> "Pieces":
        """The pieces for texts of `n` tokens, with spans of at most `max_span_length`."""
        if max_span_length is not None and max_span_length <= _LONGEST_IN_PIECES:
            # A piece at least as long as its spans overlaps none but the next one.
            rows = max(PIECE_ROWS, max_span_length)
            if n >= 2 * rows:
                return cls(n, -(-n // rows), rows, rows + max_span_length - 1)
        return cls(n, 1, n, n)

    def starts(self, x: Tensor, dim: int = -1) -> Tensor:
        """What belongs to the start tokens of each piece; zero where the text has ended."""
        if self.count == 1:
            return x
        dim = dim % x.dim()
        cut = torch.unflatten(_pad_end(x, dim, self.count * self.rows), dim, (self.count, self.rows))
        return cut.movedim(dim, 1).flatten(0, 1)

    def ends(self, x: Tensor, dim: int = -1) -> Tensor:
        """What belongs to the end tokens of each piece; zero where the text has ended."""
        if self.count == 1:
            return x
        dim = dim % x.dim()
        cut = _pad_end(x, dim, (self.count - 1) * self.rows + self.columns).unfold(dim, self.columns, self.rows)
        return cut.movedim(dim, 1).movedim(-1, dim + 1).flatten(0, 1)

    def join_starts(self, x: Tensor, dim: int = -1) -> Tensor:
        """Back from [`starts`]."""
        if self.count == 1:
            return x
        dim = dim % x.dim()
        by_text = torch.unflatten(x, 0, (-1, self.count)).movedim(1, dim)
        return by_text.flatten(dim, dim + 1).narrow(dim, 0, self.n).contiguous()

    def sum_ends(self, x: Tensor, dim: int = -1) -> Tensor:
        """Back from [`ends`]; what several pieces say of a token adds up."""
        if self.count == 1:
            return x
        dim = dim % x.dim()
        by_text = torch.unflatten(x, 0, (-1, self.count)).movedim(1, dim)
        total = _pad_end(by_text.narrow(dim + 1, 0, self.rows), dim, self.count + 1)
        # A piece reaches no further than into the next one.
        beyond = self.columns - self.rows
        total.narrow(dim, 1, self.count).narrow(dim + 1, 0, beyond).add_(by_text.narrow(dim + 1, self.rows, beyond))
        return total.flatten(dim, dim + 1).narrow(dim, 0, self.n).contiguous()

    def of_each(self, x: Tensor) -> Tensor:
        """What belongs to the whole text, for each piece of it."""
        return x if self.count == 1 else x.repeat_interleave(self.count, 0)

    def texts(self, piece: Tensor) -> tuple[Tensor, Tensor]:
        """For numbers of pieces: their texts, and the start token of each piece there."""
        return piece // self.count, piece % self.count * self.rows


def _pad_end(x: Tensor, dim: int, size: int) -> Tensor:
    """Zeros after a dimension, so that it has this size."""
    n = x.shape[dim]
    if n == size:
        return x
    padded = x.new_empty((*x.shape[:dim], size, *x.shape[dim + 1 :]))
    padded.narrow(dim, 0, n).copy_(x)
    padded.narrow(dim, n, size - n).zero_()
    return padded


def index_in_group(group: Tensor, num_groups: int) -> Tensor:
    """For ascending group numbers `(N,)`: the position of each row among the rows of its group."""
    counts = torch.bincount(group, minlength=num_groups)
    return torch.arange(len(group), device=group.device) - (counts.cumsum(0) - counts)[group]


def upper_blocks(
    query: Tensor, key: Tensor, mask: Tensor, max_span_length: int | None
) -> Iterator[tuple[slice, slice, Tensor]]:
    """The scores query_i . key_j of the spans i <= j < i + max_span_length, block by block of start tokens.

    Args:
        query (`torch.FloatTensor` of shape `(G, n, d)`): Queries of G score matrices.
        key (`torch.FloatTensor` of shape `(G, m, d)`): Keys, of as many tokens or a few more.
        mask (`torch.BoolTensor` of shape `(G, m)`): The tokens that may end a span.
        max_span_length (`int`, *optional*): The most tokens of a span.

    Yields:
        The start tokens of the block, the end tokens that its spans may have, and the scores `(G, rows, columns)`;
        -inf for what is no span. The scores may be overwritten.
    """
    n, m = query.shape[1], key.shape[1]
    rows = BLOCK_ROWS
    longest = m if max_span_length is None else min(m, max_span_length)
    bias = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(~mask, -torch.inf)[:, None]
    square = torch.ones((rows, rows), dtype=torch.bool, device=query.device)
    # Below its diagonal a span would end before it starts; on it and above, of what lies `longest` columns further, it
    # is too long.
    below, beyond = square.tril(-1), square.triu()
    for begin in range(0, n, rows):
        starts = slice(begin, min(begin + rows, n))
        ends = slice(begin, min(starts.stop + longest - 1, m))
        scores = torch.baddbmm(bias[..., ends], query[:, starts], key[:, ends].transpose(1, 2))
        size, width = scores.shape[1:]
        scores[..., :size].masked_fill_(below[:size, :size], -torch.inf)
        if width > longest:
            scores[..., longest:].masked_fill_(beyond[:size, : width - longest], -torch.inf)
        yield starts, ends, scores


def negative_blocks(
    query: Tensor, key: Tensor, may_end: Tensor, positives: Tensor, pieces: Pieces, max_span_length: int | None
) -> Iterator[tuple[slice, slice, slice, Tensor, Tensor]]:
    """As [`upper_blocks`], for as many matrices at a time as suits the machine, with the spans listed in each block.

    Args:
        query (`torch.FloatTensor` of shape `(G, n, d)`): Queries of the pieces of the texts' score matrices.
        key (`torch.FloatTensor` of shape `(G, m, d)`): Keys.
        may_end (`torch.BoolTensor` of shape `(G, m)`): The tokens that may end a span.
        positives (`torch.LongTensor` of shape `(P, 4)`): Rows (matrix, label, start, end) of the texts, before they
            were cut.
        pieces (`Pieces`): How they were cut.
        max_span_length (`int`, *optional*): The most tokens of a span.

    Yields:
        A slice of the matrices, start tokens, end tokens, scores; and those of the positives that lie there, counted
        from the slices' beginnings.
    """
    matrices, n, _ = query.shape
    rows = min(n, BLOCK_ROWS)
    width = key.shape[1] if max_span_length is None else min(key.shape[1], rows + max_span_length - 1)
    step = max(1, block_scores(query.device) // (rows * width))
    blocks = -(-n // rows)
    text, label, start_token, end_token = positives.unbind(-1)
    piece = start_token // pieces.rows if pieces.count > 1 else torch.zeros_like(start_token)
    matrix = text * pieces.count + piece
    row, column = start_token - piece * pieces.rows, end_token - piece * pieces.rows
    tile, order = (matrix // step * blocks + row // rows).sort()
    local = torch.stack([matrix % step, label, row % rows, column - row // rows * rows], dim=-1)[order]
    counts = torch.bincount(tile, minlength=-(-matrices // step) * blocks)
    tiles = iter(torch.split(local, counts.tolist()))
    for begin in range(0, matrices, step):
        group = slice(begin, min(begin + step, matrices))
        for place, columns, scores in upper_blocks(query[group], key[group], may_end[group], max_span_length):
            yield group, place, columns, scores, next(tiles)


def listed_rows(positives: Tensor) -> Tensor:
    """Rows (sample, label, start, end) `(P, 4)` of listed spans `(B, M, 3)`, without their padding."""
    sample, place = (positives[..., 0] >= 0).nonzero().unbind(-1)
    return torch.cat([sample[:, None], positives[sample, place]], dim=1)


def scores_at(query: Tensor, key: Tensor, start: Tensor | None, end: Tensor | None, spans: Tensor) -> Tensor:
    """Scores `(B, M)` of listed spans, -inf for padding; see `SpanScores.at`."""
    label, start_token, end_token = spans.clamp(min=0).unbind(-1)
    sample, head = _sample_and_head(query, label)
    scores = (query[sample, head, start_token] * key[sample, head, end_token]).sum(-1)
    if start is not None and end is not None:
        scores = scores + start[sample, label, start_token] + end[sample, label, end_token]
    return scores.masked_fill(spans[..., 0] < 0, -torch.inf)


def add_gradients_at(grad: Tensor, spans: Tensor, query: Tensor, key: Tensor, into: tuple[Tensor, ...]) -> None:
    """Add the gradients of `scores_at`, which are few, to those of query and key and, if given, start and end."""
    label, start_token, end_token = spans.clamp(min=0).unbind(-1)
    sample, head = _sample_and_head(query, label)
    grad = grad.masked_fill(spans[..., 0] < 0, 0.0)
    into[0].index_put_((sample, head, start_token), grad[..., None] * key[sample, head, end_token], accumulate=True)
    into[1].index_put_((sample, head, end_token), grad[..., None] * query[sample, head, start_token], accumulate=True)
    for bound, place in zip(into[2:], (start_token, end_token), strict=False):
        bound.index_put_((sample, label, place), grad, accumulate=True)


def _sample_and_head(query: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
    sample = torch.arange(len(label), device=label.device)[:, None].expand_as(label)
    return sample, label if query.shape[1] > 1 else torch.zeros_like(label)
