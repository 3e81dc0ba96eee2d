"""Sums over all spans that begin at a token, without ever holding the scores of all spans of all types.

Each goes through the spans in blocks of first tokens, leaves out what lies below the diagonal, and computes the scores
of a block again in backward, as flash attention does (Dao et al., 2022, https://arxiv.org/abs/2205.14135). They are
custom operators, so that `torch.compile` takes each as one node of its graph, whatever the shapes. The scores of the
positives come with the sums: so their gradients add to the few numbers they concern, not to tensors full of zeros.
"""

import math
from collections.abc import Iterator
from typing import Any

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
# A sum of products smaller than this may have lost its largest terms to underflow.
_LOG_UNDERFLOW = math.log(1e-25)
# In place of -inf where one would be subtracted from another: far below any score.
_LOWEST = -1e30


def block_scores(device: torch.device) -> int:
    """How many scores to work on at a time."""
    return _BLOCK_SCORES.get(device.type, _BLOCK_SCORES_ELSEWHERE)


def index_in_group(group: Tensor, num_groups: int) -> Tensor:
    """For ascending group numbers `(N,)`: the position of each row among the rows of its group."""
    counts = torch.bincount(group, minlength=num_groups)
    return torch.arange(len(group), device=group.device) - (counts.cumsum(0) - counts)[group]


def upper_blocks(query: Tensor, key: Tensor, mask: Tensor) -> Iterator[tuple[slice, Tensor]]:
    """The scores query_i . key_j of the spans i <= j, block by block of first tokens.

    Args:
        query (`torch.FloatTensor` of shape `(G, n, d)`): Queries of G score matrices.
        key (`torch.FloatTensor` of shape `(G, n, d)`): Keys.
        mask (`torch.BoolTensor` of shape `(G, n)`): The tokens that may end a span.

    Yields:
        The first tokens of the block, and their scores `(G, rows, n - first)`, whose columns begin at the block's
        first token; -inf for what is no span. The scores may be overwritten.
    """
    n = query.shape[1]
    bias = torch.zeros_like(mask, dtype=query.dtype).masked_fill_(~mask, -torch.inf)[:, None]
    for first in range(0, n, BLOCK_ROWS):
        rows = slice(first, min(first + BLOCK_ROWS, n))
        scores = torch.baddbmm(bias[..., first:], query[:, rows], key[:, first:].transpose(1, 2))
        square = scores[..., : rows.stop - first]
        square.masked_fill_(torch.ones_like(square[0], dtype=torch.bool).tril_(-1), -torch.inf)
        yield rows, scores


def scores_at(query: Tensor, key: Tensor, start: Tensor | None, end: Tensor | None, spans: Tensor) -> Tensor:
    """Scores `(B, M)` of listed spans, -inf for padding; see `SpanScores.at`."""
    types, first, last = spans.clamp(min=0).unbind(-1)
    sample, head = _sample_and_head(query, types)
    scores = (query[sample, head, first] * key[sample, head, last]).sum(-1)
    if start is not None and end is not None:
        scores = scores + start[sample, types, first] + end[sample, types, last]
    return scores.masked_fill(spans[..., 0] < 0, -torch.inf)


def _add_gradients_at(grad: Tensor, spans: Tensor, query: Tensor, key: Tensor, into: tuple[Tensor, ...]) -> None:
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


# ---------------------------------------------------------------------------------------------------------------------
# One query and key for all types


class _SharedScores:
    """s_ij + end_aj of all types, as exponentials of s to multiply with exponentials of `end`."""

    def __init__(
        self,
        query: Tensor,
        key: Tensor,
        end: Tensor,
        mask: Tensor,
        positives: Tensor,
        exponentials: tuple[Tensor, Tensor] | None = None,
    ) -> None:
        self.query, self.key, self.end, self.positives = query[:, 0], key[:, 0], end, positives
        self.may_begin, self.may_end = mask.unbind(1)
        self.samples = torch.arange(len(mask), device=mask.device)[:, None]
        # The highest `end` of a type, and e^(end - highest).
        self.shift, self.weights = self._exponentials() if exponentials is None else exponentials
        # Row (a, i) of a sample has the number a * n + i; padding has the one after the last.
        self.num_rows = end.shape[1] * end.shape[2]
        self.is_span = is_span = positives[..., 0] >= 0
        self.rows_of_positives = torch.where(
            is_span, positives[..., 0] * end.shape[2] + positives[..., 1], self.num_rows
        )
        holds = mask.new_zeros((len(mask), self.num_rows + 1))
        self.holds_positive = holds.scatter_(1, self.rows_of_positives, True)[:, :-1].view_as(end)

    def _exponentials(self) -> tuple[Tensor, Tensor]:
        end = self.end.masked_fill(~self.may_end[:, None], -torch.inf)
        shift = end.amax(-1, keepdim=True).clamp_(min=_LOWEST)
        return shift, end.sub_(shift).exp_()

    def blocks(self) -> Iterator[tuple[slice, Tensor, Tensor]]:
        """Yield first tokens, the highest score of each `(B, 1, rows)`, and e^(s - highest) `(B, rows, n - first)`."""
        for rows, scores in upper_blocks(self.query, self.key, self.may_end):
            top = scores.amax(-1, keepdim=True).clamp_(min=_LOWEST)
            yield rows, top.transpose(1, 2), scores.sub_(top).exp_()

    def needs_terms(self, rows: slice, underflows: Tensor) -> Tensor:
        """Which rows (a, i) of a block cannot be had from the products, some of which underflow `(B, E, rows)`."""
        return underflows.logical_or_(self.holds_positive[..., rows]).logical_and_(self.may_begin[:, None, rows])

    def exact_rows(self, wanted: Tensor) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        """The scores of the negative spans of single rows, term by term.

        Args:
            wanted (`torch.BoolTensor` of shape `(B, E, n)`): The rows.

        Yields:
            Which are rows and which are padding, types and first tokens `(B, C)`, and scores `(B, C, n)`, -inf for
            what is no negative span, as for all of padding.
        """
        sample, number = wanted.flatten(1).nonzero().unbind(-1)
        if not len(sample):
            return
        n, size = self.query.shape[1:]
        index = index_in_group(sample, len(wanted))
        numbers = number.new_full((len(wanted), int(index.max()) + 1), self.num_rows)
        numbers[sample, index] = number
        place = torch.searchsorted(numbers, self.rows_of_positives).clamp_(max=numbers.shape[1] - 1)
        listed = self.is_span & (numbers.gather(1, place) == self.rows_of_positives)
        chunk = max(1, block_scores(numbers.device) // (len(wanted) * n))
        for begin in range(0, numbers.shape[1], chunk):
            part = numbers[:, begin : begin + chunk]
            types, first = part.clamp(max=self.num_rows - 1) // n, part % n
            query = self.query.gather(1, first[..., None].expand(-1, -1, size))
            scores = self.end.gather(1, types[..., None].expand(-1, -1, n)).baddbmm_(query, self.key.transpose(1, 2))
            is_row = part < self.num_rows
            spans = (
                self.may_end[:, None] & is_row[..., None] & (torch.arange(n, device=first.device) >= first[..., None])
            )
            scores.masked_fill_(~spans, -torch.inf)
            sample, row = (listed & (place >= begin) & (place < begin + chunk)).nonzero().unbind(-1)
            scores[sample, place[sample, row] - begin, self.positives[sample, row, 2]] = -torch.inf
            yield is_row, types, first, scores


@torch.library.custom_op(f"{NAMESPACE}::shared_row_logsumexp", mutates_args=())
def shared_row_logsumexp(
    query: Tensor, key: Tensor, start: Tensor, end: Tensor, mask: Tensor, positives: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Log sum_ij e^(query_i . key_j + start_ai + end_aj) over the negative spans (i, j) of type a.

    The terms are products, so one matrix product of e^s and e^end sums them for all types. Rows that hold a positive,
    and rows whose products may have underflowed, are summed again term by term.

    Args:
        query (`torch.FloatTensor` of shape `(B, 1, n, d)`): Queries that all types share.
        key (`torch.FloatTensor` of shape `(B, 1, n, d)`): Keys that all types share.
        start (`torch.FloatTensor` of shape `(B, E, n)`): What a type adds for its first token.
        end (`torch.FloatTensor` of shape `(B, E, n)`): What a type adds for its last token.
        mask (`torch.BoolTensor` of shape `(B, 2, n)`): The tokens that may begin, and that may end a span.
        positives (`torch.LongTensor` of shape `(B, M, 3)`): The spans left out, distinct, padded with -100.

    Returns:
        Float `(B, E)`, very low where there is no negative span; the scores of the positives, float `(B, M)`, -inf for
        padding; and, for backward alone, the log-sum of each row `(B, E, n)`, and e^end, as its logarithm `(B, E, 1)`
        and what to multiply it with `(B, E, n)`.
    """
    with torch.autocast(query.device.type, enabled=False):
        shared = _SharedScores(query, key, end, mask, positives)
        result = end.new_empty(end.shape)
        wanted = torch.empty_like(end, dtype=torch.bool, memory_format=torch.contiguous_format)
        for rows, top, exponentials in shared.blocks():
            log_sums = torch.bmm(shared.weights[..., rows.start :], exponentials.transpose(1, 2)).log_()
            wanted[..., rows] = shared.needs_terms(rows, log_sums < _LOG_UNDERFLOW)
            torch.add(log_sums.add_(top).add_(shared.shift), start[..., rows], out=result[..., rows])
        for is_row, types, first, scores in shared.exact_rows(wanted):
            row = shared.samples.expand_as(types)[is_row], types[is_row], first[is_row]
            result[row] = scores.logsumexp(-1)[is_row].clamp_(min=_LOWEST).add_(start[row])
        result.masked_fill_(~mask[:, :1], _LOWEST)
        # Part by part, so that what it takes stays in the cache.
        parts = torch.split(result, BLOCK_ROWS, dim=-1)
        total = torch.stack([part.logsumexp(-1) for part in parts], dim=-1).logsumexp(-1)
        return total, scores_at(query, key, start, end, positives), result, shared.shift, shared.weights


@torch.library.custom_op(f"{NAMESPACE}::shared_row_logsumexp_backward", mutates_args=())
def _shared_row_logsumexp_backward(
    grad: Tensor,
    grad_positives: Tensor,
    total: Tensor,
    result: Tensor,
    shift: Tensor,
    weights: Tensor,
    query: Tensor,
    key: Tensor,
    start: Tensor,
    end: Tensor,
    mask: Tensor,
    positives: Tensor,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    with torch.autocast(query.device.type, enabled=False):
        shared = _SharedScores(query, key, end, mask, positives, (shift, weights))
        grad_start = (result - total[..., None]).exp_().mul_(grad[..., None]).masked_fill_(~mask[:, :1], 0.0)
        grad_query, grad_key, grad_end = (x.new_zeros(x.shape) for x in (shared.query, shared.key, end))
        wanted = torch.empty_like(end, dtype=torch.bool, memory_format=torch.contiguous_format)
        for rows, top, exponentials in shared.blocks():
            log_inverse = (start[..., rows] - result[..., rows]).add_(shared.shift).add_(top)
            wanted[..., rows] = shared.needs_terms(rows, log_inverse > -_LOG_UNDERFLOW)
            grad_sums = log_inverse.exp_().mul_(grad_start[..., rows])
            grad_sums.masked_fill_(wanted[..., rows] | ~mask[:, :1, rows], 0.0)
            grad_end[..., rows.start :].baddbmm_(grad_sums, exponentials)
            grad_scores = exponentials.mul_(torch.bmm(grad_sums.transpose(1, 2), shared.weights[..., rows.start :]))
            grad_query[:, rows] = torch.bmm(grad_scores, shared.key[:, rows.start :])
            grad_key[:, rows.start :].baddbmm_(grad_scores.transpose(1, 2), shared.query[:, rows])
        grad_end *= shared.weights
        for _, types, first, scores in shared.exact_rows(wanted):
            # Padding stands for some row or other: its scores are -inf, and so its share is 0.
            row = shared.samples, types, first
            share = scores.sub_((result[row] - start[row])[..., None]).exp_()
            share *= grad_start[row][..., None]
            grad_end.scatter_add_(1, types[..., None].expand_as(share), share)
            place = first[..., None].expand(-1, -1, query.shape[-1])
            grad_query.scatter_add_(1, place, torch.bmm(share, shared.key))
            grad_key.baddbmm_(share.transpose(1, 2), shared.query.gather(1, place))
        grads = grad_query[:, None], grad_key[:, None], grad_start, grad_end
        _add_gradients_at(grad_positives, positives, query, key, grads)
        return grads


# ---------------------------------------------------------------------------------------------------------------------
# A query and key for each type


def type_blocks(query: Tensor, key: Tensor, mask: Tensor, positives: Tensor) -> Iterator[tuple[slice, slice, Tensor]]:
    """Yield a slice of the B * E score matrices, first tokens, and the scores of their negative spans."""
    samples, num_types, n, _ = query.shape
    query, key, may_end = query.flatten(0, 1), key.flatten(0, 1), mask[:, 1].repeat_interleave(num_types, 0)
    step = max(1, block_scores(query.device) // (BLOCK_ROWS * n))
    num_blocks = -(-n // BLOCK_ROWS)
    sample, row = (positives[..., 0] >= 0).nonzero().unbind(-1)
    types, first, last = positives[sample, row].unbind(-1)
    matrix = sample * num_types + types
    tile, order = (matrix // step * num_blocks + first // BLOCK_ROWS).sort()
    matrix, first, last = matrix[order], first[order], last[order]
    counts = iter(torch.bincount(tile, minlength=-(-samples * num_types // step) * num_blocks).tolist())
    done = 0
    for begin in range(0, samples * num_types, step):
        group = slice(begin, begin + step)
        for rows, scores in upper_blocks(query[group], key[group], may_end[group]):
            here = slice(done, done := done + next(counts))
            scores[matrix[here] - begin, first[here] - rows.start, last[here] - rows.start] = -torch.inf
            yield group, rows, scores


@torch.library.custom_op(f"{NAMESPACE}::row_logsumexp", mutates_args=())
def row_logsumexp(query: Tensor, key: Tensor, mask: Tensor, positives: Tensor) -> tuple[Tensor, Tensor]:
    """Log sum_j e^(query_ai . key_aj) over the negative spans (i, j) of type a.

    Args:
        query (`torch.FloatTensor` of shape `(B, E, n, d)`): Queries.
        key (`torch.FloatTensor` of shape `(B, E, n, d)`): Keys.
        mask (`torch.BoolTensor` of shape `(B, 2, n)`): The tokens that may begin, and that may end a span.
        positives (`torch.LongTensor` of shape `(B, M, 3)`): The spans left out, distinct, padded with -100.

    Returns:
        Float `(B, E, n)`: very low for masked tokens and where no negative span begins; and the scores of the
        positives, float `(B, M)`, -inf for padding.
    """
    with torch.autocast(query.device.type, enabled=False):
        result = query.new_empty(query.shape[:3])
        flat = result.flatten(0, 1)
        for group, rows, scores in type_blocks(query, key, mask, positives):
            top = scores.amax(-1, keepdim=True).clamp_(min=_LOWEST)
            flat[group, rows] = scores.sub_(top).exp_().sum(-1).log_().add_(top[..., 0])
        result.masked_fill_(~mask[:, :1], _LOWEST).clamp_(min=_LOWEST)
        return result, scores_at(query, key, None, None, positives)


@torch.library.custom_op(f"{NAMESPACE}::row_softplus", mutates_args=())
def row_softplus(query: Tensor, key: Tensor, mask: Tensor, positives: Tensor) -> tuple[Tensor, Tensor]:
    """Sum_j log(1 + e^(query_ai . key_aj)) over the negative spans (i, j) of type a; arguments as in `row_logsumexp`.

    Returns:
        Float `(B, E, n)`, 0 for masked tokens; and the scores of the positives, float `(B, M)`, -inf for padding.
    """
    with torch.autocast(query.device.type, enabled=False):
        result = query.new_empty(query.shape[:3])
        flat = result.flatten(0, 1)
        for group, rows, scores in type_blocks(query, key, mask, positives):
            flat[group, rows] = torch.nn.functional.softplus(scores).sum(-1)
        return result.masked_fill_(~mask[:, :1], 0.0), scores_at(query, key, None, None, positives)


@torch.library.custom_op(f"{NAMESPACE}::row_reduction_backward", mutates_args=())
def _row_reduction_backward(
    grad: Tensor,
    grad_positives: Tensor,
    result: Tensor | None,
    query: Tensor,
    key: Tensor,
    mask: Tensor,
    positives: Tensor,
) -> tuple[Tensor, Tensor]:
    """Gradients of `row_logsumexp`, which needs its result for them, or of `row_softplus`, which does not."""
    with torch.autocast(query.device.type, enabled=False):
        grad_query, grad_key = query.new_empty(query.shape), key.new_zeros(key.shape)
        flat_query, flat_key = query.flatten(0, 1), key.flatten(0, 1)
        flat_grad_query, flat_grad_key = grad_query.flatten(0, 1), grad_key.flatten(0, 1)
        flat_grad = grad.masked_fill(~mask[:, :1], 0.0).flatten(0, 1)[..., None]
        if result is not None:
            # No span takes part in a sum that is not one.
            flat_result = result.masked_fill(result <= _LOWEST, torch.inf).flatten(0, 1)[..., None]
        for group, rows, scores in type_blocks(query, key, mask, positives):
            if result is None:
                scores.sigmoid_()
            else:
                scores.sub_(flat_result[group, rows]).exp_()
            scores *= flat_grad[group, rows]
            flat_grad_query[group, rows] = torch.bmm(scores, flat_key[group, rows.start :])
            flat_grad_key[group, rows.start :].baddbmm_(scores.transpose(1, 2), flat_query[group, rows])
        _add_gradients_at(grad_positives, positives, query, key, (grad_query, grad_key))
        return grad_query, grad_key


# ---------------------------------------------------------------------------------------------------------------------
# What autograd and torch.compile need to know


@shared_row_logsumexp.register_fake
def _(
    query: Tensor, key: Tensor, start: Tensor, end: Tensor, mask: Tensor, positives: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    total, listed = end.new_empty(end.shape[:2]), query.new_empty(positives.shape[:2])
    return total, listed, end.new_empty(end.shape), end.new_empty((*total.shape, 1)), end.new_empty(end.shape)


@row_logsumexp.register_fake
@row_softplus.register_fake
def _(query: Tensor, key: Tensor, mask: Tensor, positives: Tensor) -> tuple[Tensor, Tensor]:
    return query.new_empty(query.shape[:3]), query.new_empty(positives.shape[:2])


@_shared_row_logsumexp_backward.register_fake
def _(grad: Tensor, grad_positives: Tensor, *saved: Tensor) -> Any:
    return tuple(part.new_empty(part.shape) for part in saved[4:8])


@_row_reduction_backward.register_fake
def _(grad: Tensor, grad_positives: Tensor, result: Tensor | None, query: Tensor, key: Tensor, *inputs: Tensor) -> Any:
    return query.new_empty(query.shape), key.new_empty(key.shape)


def _save_result(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(output[0], *inputs)


def _save_inputs(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
    ctx.save_for_backward(*inputs)


def _save_sums(ctx: Any, inputs: tuple[Tensor, ...], output: tuple[Tensor, ...]) -> None:
    total, _, *for_backward = output
    ctx.save_for_backward(total, *for_backward, *inputs)
    ctx.mark_non_differentiable(*for_backward)
    # Zeros for these would be of their size.
    ctx.set_materialize_grads(False)


def _shared_backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    total, *saved, positives = ctx.saved_tensors
    grad, grad_positives = grads[:2]
    grad = torch.zeros_like(total) if grad is None else grad
    grad_positives = total.new_zeros(positives.shape[:2]) if grad_positives is None else grad_positives
    return *_shared_row_logsumexp_backward(grad, grad_positives, total, *saved, positives), None, None


def _logsumexp_backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
    return *_row_reduction_backward(*grads, *ctx.saved_tensors), None, None


def _softplus_backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
    return *_row_reduction_backward(*grads, None, *ctx.saved_tensors), None, None


shared_row_logsumexp.register_autograd(_shared_backward, setup_context=_save_sums)
row_logsumexp.register_autograd(_logsumexp_backward, setup_context=_save_result)
row_softplus.register_autograd(_softplus_backward, setup_context=_save_inputs)
