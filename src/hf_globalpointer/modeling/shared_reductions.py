"""The sum over all spans of a type, where one query and one key are shared by all types.

With s_ij = q_i . k_j, the score of span (i, j) for type a is s_ij + start_ai + end_aj, and e^score is a product. So
the sums of all types are one matrix product of e^s, `(rows, columns)`, and e^end, `(types, columns)`:

    lse_ai = log sum_j e^(s_ij + start_ai + end_aj)
           = start_ai + top_i + shift_a + log sum_j e^(s_ij - top_i) e^(end_aj - shift_a)

where top_i is the highest s_ij of the row and shift_a the highest end_aj of the type, so that no factor overflows.
The result is total_a = log sum_i e^lse_ai.

Some rows (a, i) cannot be had from this product and are summed again, term by term: those that hold a positive, which
is left out of the sum (to subtract it would lose every digit once it scores high), and those whose sum of products is
so small that its largest terms may have underflowed (a large s_ij times a tiny e^end_aj). They are few.

Forward keeps lse, shift and e^(end - shift) for backward, which computes s again, block by block. With G_a the
gradient of total_a,

    d start_ai = G_a e^(lse_ai - total_a)
    w_aij = e^(s_ij + start_ai + end_aj - lse_ai)       the share of a span in its row
    d end_aj = sum_i d start_ai w_aij
    d s_ij = sum_a d start_ai w_aij

and w factors as the sum did: with r_ai = d start_ai e^(start_ai + top_i + shift_a - lse_ai),

    d end_aj = e^(end_aj - shift_a) sum_i r_ai e^(s_ij - top_i)
    d s_ij = e^(s_ij - top_i) sum_a r_ai e^(end_aj - shift_a)

are matrix products again; rows that were summed term by term add their shares term by term.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from .span_blocks import (
    LOWEST,
    NAMESPACE,
    Pieces,
    add_gradients_at,
    block_scores,
    listed_rows,
    negative_blocks,
    scores_at,
)


# A sum of products smaller than this may have lost its largest terms to underflow.
_LOG_UNDERFLOW = math.log(1e-25)


@dataclass
class _Block:
    """The spans that begin at some neighboring tokens of some samples, or of pieces of samples.

    Args:
        group (`slice`): The samples, G of them.
        rows (`slice`): The start tokens.
        columns (`slice`): The end tokens that their spans may have.
        scores (`torch.FloatTensor` of shape `(G, rows, columns)`): s_ij, -inf for what is no span.
        top (`torch.FloatTensor` of shape `(G, 1, rows)`): The highest s_ij of each row.
        exponentials (`torch.FloatTensor` of shape `(G, rows, columns)`): e^(s_ij - top_i).
        positives (`torch.LongTensor` of shape `(P, 4)`): The positives among them, (sample, label, start, end), each
            counted from the slice's beginning.
    """

    group: slice
    rows: slice
    columns: slice
    scores: Tensor
    top: Tensor
    exponentials: Tensor
    positives: Tensor

    def of_rows(self, x: Tensor) -> Tensor:
        """Of something `(G, ..., n)`, what belongs to the block's start tokens."""
        return x[self.group, ..., self.rows]

    def of_columns(self, x: Tensor) -> Tensor:
        """Of something `(G, ..., n)`, what belongs to the block's end tokens."""
        return x[self.group, ..., self.columns]

    def rows_by_terms(self, underflows: Tensor) -> Tensor:
        """Which rows are summed term by term, given which sums of products `(G, E, rows)` underflow: flat indices."""
        sample, label, start_token, _ = self.positives.unbind(-1)
        _, num_labels, size = underflows.shape
        found = (sample * num_labels + label) * size + start_token
        if underflows.any():
            found = torch.cat([found, underflows.flatten().nonzero()[:, 0]])
        numbers: Tensor = torch.unique(found)
        return numbers

    def terms(self, wanted: Tensor, end: Tensor) -> Iterator[tuple[tuple[Tensor, ...], Tensor]]:
        """The terms of single rows: s_ij + end_aj of the negative spans, -inf for what is none.

        Args:
            wanted (`torch.LongTensor` of shape `(N,)`): The rows, as of [`rows_by_terms`].
            end (`torch.FloatTensor` of shape `(G, E, columns)`): What a type adds for its end token.

        Yields:
            Where some rows are: sample, type and place in the block, each `(C,)`; and their terms `(C, columns)`.
        """
        if not len(wanted):
            return
        shape = (*end.shape[:2], self.scores.shape[1])
        # The number of each row among them: those of the positives have their own term to leave out.
        sample, label, start_token, end_token = self.positives.unbind(-1)
        number = torch.searchsorted(wanted, (sample * shape[1] + label) * shape[2] + start_token)
        chunk = max(1, block_scores(end.device) // self.scores.shape[-1])
        for begin in range(0, len(wanted), chunk):
            sample, label, place = torch.unravel_index(wanted[begin : begin + chunk], shape)
            terms = self.scores[sample, place] + end[sample, label]
            here = (number >= begin) & (number < begin + chunk)
            terms[number[here] - begin, end_token[here]] = -torch.inf
            yield (sample, label, place), terms


def _blocks(
    query: Tensor, key: Tensor, mask: Tensor, positives: Tensor, pieces: Pieces, max_span_length: int | None
) -> Iterator[_Block]:
    """All spans, block by block; arguments as of [`shared_row_logsumexp`]."""
    cut = pieces.starts(query[:, 0], 1), pieces.ends(key[:, 0], 1), pieces.ends(mask[:, 1])
    blocks = negative_blocks(*cut, listed_rows(positives), pieces, max_span_length)
    for group, rows, columns, scores, inside in blocks:
        top = scores.amax(-1, keepdim=True).clamp_(min=LOWEST)
        yield _Block(group, rows, columns, scores, top.transpose(1, 2), (scores - top).exp_(), inside)


@torch.library.custom_op(f"{NAMESPACE}::shared_row_logsumexp", mutates_args=())
def shared_row_logsumexp(
    query: Tensor,
    key: Tensor,
    start: Tensor,
    end: Tensor,
    mask: Tensor,
    positives: Tensor,
    max_span_length: int | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Log sum_ij e^(query_i . key_j + start_ai + end_aj) over the negative spans (i, j) of type a.

    Args:
        query (`torch.FloatTensor` of shape `(B, 1, n, d)`): Queries that all types share.
        key (`torch.FloatTensor` of shape `(B, 1, n, d)`): Keys that all types share.
        start (`torch.FloatTensor` of shape `(B, E, n)`): What a type adds for its start token.
        end (`torch.FloatTensor` of shape `(B, E, n)`): What a type adds for its end token.
        mask (`torch.BoolTensor` of shape `(B, 2, n)`): The tokens that may begin, and that may end a span.
        positives (`torch.LongTensor` of shape `(B, M, 3)`): The spans left out, distinct, padded with -100.
        max_span_length (`int`, *optional*): The most tokens of a span.

    Returns:
        Float `(B, E)`, very low where there is no negative span; the scores of the positives, float `(B, M)`, -inf for
        padding; and, for backward alone, the log-sum of each row `(B, E, n)`, and e^end, as its logarithm `(B, E, 1)`
        and what to multiply it with `(B, E, n)`.
    """
    pieces = Pieces.of(query.shape[2], max_span_length)
    with torch.autocast(query.device.type, enabled=False):
        may_begin, may_end = mask[:, None].unbind(2)
        bounded = end.masked_fill(~may_end, -torch.inf)
        shift = bounded.amax(-1, keepdim=True).clamp_(min=LOWEST)
        weights = bounded.sub_(shift).exp_()
        cut_start, cut_begin, cut_shift = pieces.starts(start), pieces.starts(may_begin), pieces.of_each(shift)
        cut_end, cut_weights = pieces.ends(end), pieces.ends(weights)
        cut_result = torch.empty_like(cut_start)
        for block in _blocks(query, key, mask, positives, pieces, max_span_length):
            block_start, begins, lse = map(block.of_rows, (cut_start, cut_begin, cut_result))
            log_sums = torch.bmm(block.of_columns(cut_weights), block.exponentials.transpose(1, 2)).log_()
            wanted = block.rows_by_terms((log_sums < _LOG_UNDERFLOW) & begins)
            # lse = start + top + shift + log of the sum of products
            torch.add(log_sums.add_(block.top).add_(cut_shift[block.group]), block_start, out=lse)
            for at, terms in block.terms(wanted, block.of_columns(cut_end)):
                # ... or, term by term, lse = start + log sum_j e^(s + end)
                lse[at] = terms.logsumexp(-1).clamp_(min=LOWEST) + block_start[at]
        result = pieces.join_starts(cut_result).masked_fill_(~may_begin, LOWEST)
        return result.logsumexp(-1), scores_at(query, key, start, end, positives), result, shift, weights


@shared_row_logsumexp.register_fake
def _(query: Tensor, key: Tensor, start: Tensor, end: Tensor, mask: Tensor, positives: Tensor, *options: Any) -> Any:
    total, listed = end.new_empty(end.shape[:2]), query.new_empty(positives.shape[:2])
    return total, listed, end.new_empty(end.shape), end.new_empty((*total.shape, 1)), end.new_empty(end.shape)


@torch.library.custom_op(f"{NAMESPACE}::shared_row_logsumexp_backward", mutates_args=())
def shared_row_logsumexp_backward(
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
    max_span_length: int | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of query, key, start and end, from those of the first two outputs; the names are those of forward."""
    pieces = Pieces.of(query.shape[2], max_span_length)
    with torch.autocast(query.device.type, enabled=False):
        may_begin = mask[:, :1]
        # d start = G e^(lse - total)
        grad_start = (result - total[..., None]).exp_().mul_(grad[..., None]).masked_fill_(~may_begin, 0.0)
        cut_query, cut_key = pieces.starts(query[:, 0], 1), pieces.ends(key[:, 0], 1)
        cut_end, cut_weights = pieces.ends(end), pieces.ends(weights)
        cut_begin, cut_shift = pieces.starts(may_begin), pieces.of_each(shift)
        cut_inner, cut_grad_start = pieces.starts(start - result), pieces.starts(grad_start)
        grad_query, grad_key, grad_end = (torch.zeros_like(x) for x in (cut_query, cut_key, cut_end))
        for block in _blocks(query, key, mask, positives, pieces, max_span_length):
            begins, inner, block_grad_start = map(block.of_rows, (cut_begin, cut_inner, cut_grad_start))
            block_grad_end, block_weights = map(block.of_columns, (grad_end, cut_weights))
            group, rows, columns = block.group, block.rows, block.columns
            # The logarithm of one over the sum of products: start - lse + shift + top.
            log_inverse = (inner + cut_shift[group]).add_(block.top)
            wanted = block.rows_by_terms((log_inverse > -_LOG_UNDERFLOW) & begins)
            # r = d start e^(start + top + shift - lse)
            ratios = log_inverse.exp_().mul_(block_grad_start).masked_fill_(~begins, 0.0)
            ratios[torch.unravel_index(wanted, ratios.shape)] = 0.0
            # d end = e^(end - shift) sum_i r e^(s - top)
            block_grad_end.addcmul_(torch.bmm(ratios, block.exponentials), block_weights)
            # d s = e^(s - top) sum_a r e^(end - shift)
            grad_scores = torch.bmm(ratios.transpose(1, 2), block_weights).mul_(block.exponentials)
            for (sample, label, place), terms in block.terms(wanted, block.of_columns(cut_end)):
                # d start w = d start e^(s + start + end - lse), in both d end and d s
                at = sample, label, place
                share = terms.add_(inner[at][:, None]).exp_().mul_(block_grad_start[at][:, None])
                block_grad_end.index_put_((sample, label), share, accumulate=True)
                grad_scores.index_put_((sample, place), share, accumulate=True)
            grad_query[group, rows] = torch.bmm(grad_scores, cut_key[group, columns])
            grad_key[group, columns].baddbmm_(grad_scores.transpose(1, 2), cut_query[group, rows])
        grads = (
            pieces.join_starts(grad_query, 1)[:, None],
            pieces.sum_ends(grad_key, 1)[:, None],
            grad_start,
            pieces.sum_ends(grad_end),
        )
        add_gradients_at(grad_positives, positives, query, key, grads)
        return grads


@shared_row_logsumexp_backward.register_fake
def _(grad: Tensor, grad_positives: Tensor, *saved: Any) -> Any:
    return tuple(part.new_empty(part.shape) for part in saved[4:8])


def _save_sums(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    total, _, *for_backward = output
    *tensors, ctx.max_span_length = inputs
    ctx.save_for_backward(total, *for_backward, *tensors)
    ctx.mark_non_differentiable(*for_backward)
    # Zeros for these would be of their size.
    ctx.set_materialize_grads(False)


def _backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
    total, *saved, positives = ctx.saved_tensors
    grad, grad_positives = grads[:2]
    grad = torch.zeros_like(total) if grad is None else grad
    grad_positives = total.new_zeros(positives.shape[:2]) if grad_positives is None else grad_positives
    saved = *saved, positives, ctx.max_span_length
    return *shared_row_logsumexp_backward(grad, grad_positives, total, *saved), None, None, None


shared_row_logsumexp.register_autograd(_backward, setup_context=_save_sums)
