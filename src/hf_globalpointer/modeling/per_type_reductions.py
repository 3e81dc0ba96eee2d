"""Sums over all spans that begin at a token, where each type has a query and a key of its own.

    lse_ai = log sum_j e^(q_ai . k_aj)          d lse_ai / d s_aij = e^(s_aij - lse_ai)
    sp_ai = sum_j log(1 + e^(q_ai . k_aj))      d sp_ai / d s_aij = sigmoid(s_aij)

over the negative spans (i, j) of type a. Forward goes through the spans block by block and keeps only the sums;
backward computes the scores of each block again, as flash attention does (Dao et al., 2022,
https://arxiv.org/abs/2205.14135), and from its share of the gradient, g = d loss / d s, adds g k to the gradient of
the queries and g^T q to that of the keys.

These are custom operators, so that `torch.compile` takes each as one node of its graph, whatever the shapes. The
scores of the positives come with the sums: so their gradients add to the few numbers they concern, not to tensors full
of zeros.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from .span_blocks import LOWEST, NAMESPACE, Pieces, add_gradients_at, listed_rows, negative_blocks, scores_at


class TypeMatrices:
    """Queries and keys of each type of each sample, or of pieces of samples: so many matrices of scores.

    Args as of [`row_logsumexp`].

    Attributes:
        pieces (`Pieces`): How samples are cut.
        query (`torch.FloatTensor` of shape `(G, rows, d)`): The queries of each matrix.
        key (`torch.FloatTensor` of shape `(G, columns, d)`): Its keys.
        may_begin (`torch.BoolTensor` of shape `(G, rows)`): The tokens that may begin a span.
    """

    def __init__(
        self, query: Tensor, key: Tensor, mask: Tensor, positives: Tensor, max_span_length: int | None
    ) -> None:
        num_labels = query.shape[1]
        self.pieces = Pieces.of(query.shape[2], max_span_length)
        self.query, self.key = self.pieces.starts(query.flatten(0, 1), 1), self.pieces.ends(key.flatten(0, 1), 1)
        begins, ends = mask.repeat_interleave(num_labels, 0).unbind(1)
        self.may_begin, self._may_end = self.pieces.starts(begins), self.pieces.ends(ends)
        # A matrix is a sample and a type.
        sample, label, start_token, end_token = listed_rows(positives).unbind(-1)
        self._positives = torch.stack([sample * num_labels + label, label, start_token, end_token], dim=-1)
        self._max_span_length = max_span_length

    def blocks(self) -> Iterator[tuple[slice, slice, slice, Tensor]]:
        """The scores of the negative spans, block by block.

        Yields:
            A slice of the matrices, start tokens, end tokens, and the scores, -inf for what is no negative span. They
            may be overwritten.
        """
        parts = self.query, self.key, self._may_end, self._positives, self.pieces, self._max_span_length
        for group, rows, columns, scores, positives in negative_blocks(*parts):
            matrix, _, start_token, end_token = positives.unbind(-1)
            scores[matrix, start_token, end_token] = -torch.inf
            yield group, rows, columns, scores


@torch.library.custom_op(f"{NAMESPACE}::row_logsumexp", mutates_args=())
def row_logsumexp(
    query: Tensor, key: Tensor, mask: Tensor, positives: Tensor, max_span_length: int | None
) -> tuple[Tensor, Tensor]:
    """Log sum_j e^(query_ai . key_aj) over the negative spans (i, j) of type a.

    Args:
        query (`torch.FloatTensor` of shape `(B, E, n, d)`): Queries.
        key (`torch.FloatTensor` of shape `(B, E, n, d)`): Keys.
        mask (`torch.BoolTensor` of shape `(B, 2, n)`): The tokens that may begin, and that may end a span.
        positives (`torch.LongTensor` of shape `(B, M, 3)`): The spans left out, distinct, padded with -100.
        max_span_length (`int`, *optional*): The most tokens of a span.

    Returns:
        Float `(B, E, n)`: very low for masked tokens and where no negative span begins; and the scores of the
        positives, float `(B, M)`, -inf for padding.
    """
    with torch.autocast(query.device.type, enabled=False):
        matrices = TypeMatrices(query, key, mask, positives, max_span_length)
        sums = query.new_empty(matrices.query.shape[:2])
        for group, rows, _, scores in matrices.blocks():
            top = scores.amax(-1, keepdim=True).clamp_(min=LOWEST)
            sums[group, rows] = scores.sub_(top).exp_().sum(-1).log_().add_(top[..., 0])
        result = matrices.pieces.join_starts(sums).view(query.shape[:3])
        result.masked_fill_(~mask[:, :1], LOWEST).clamp_(min=LOWEST)
        return result, scores_at(query, key, None, None, positives)


@torch.library.custom_op(f"{NAMESPACE}::row_softplus", mutates_args=())
def row_softplus(
    query: Tensor, key: Tensor, mask: Tensor, positives: Tensor, max_span_length: int | None
) -> tuple[Tensor, Tensor]:
    """Sum_j log(1 + e^(query_ai . key_aj)) over the negative spans (i, j) of type a; arguments as in `row_logsumexp`.

    Returns:
        Float `(B, E, n)`, 0 for masked tokens; and the scores of the positives, float `(B, M)`, -inf for padding.
    """
    with torch.autocast(query.device.type, enabled=False):
        matrices = TypeMatrices(query, key, mask, positives, max_span_length)
        sums = query.new_empty(matrices.query.shape[:2])
        for group, rows, _, scores in matrices.blocks():
            sums[group, rows] = torch.nn.functional.softplus(scores).sum(-1)
        result = matrices.pieces.join_starts(sums).view(query.shape[:3])
        return result.masked_fill_(~mask[:, :1], 0.0), scores_at(query, key, None, None, positives)


@row_logsumexp.register_fake
@row_softplus.register_fake
def _(
    query: Tensor, key: Tensor, mask: Tensor, positives: Tensor, max_span_length: int | None
) -> tuple[Tensor, Tensor]:
    return query.new_empty(query.shape[:3]), query.new_empty(positives.shape[:2])


@torch.library.custom_op(f"{NAMESPACE}::row_reduction_backward", mutates_args=())
def row_reduction_backward(
    grad: Tensor,
    grad_positives: Tensor,
    result: Tensor | None,
    query: Tensor,
    key: Tensor,
    mask: Tensor,
    positives: Tensor,
    max_span_length: int | None,
) -> tuple[Tensor, Tensor]:
    """Gradients of `row_logsumexp`, which needs its result for them, or of `row_softplus`, which does not."""
    with torch.autocast(query.device.type, enabled=False):
        matrices = TypeMatrices(query, key, mask, positives, max_span_length)
        pieces = matrices.pieces
        grads = pieces.starts(grad.masked_fill(~mask[:, :1], 0.0).flatten(0, 1))[..., None]
        if result is not None:
            # No span takes part in a sum that is not one.
            sums = pieces.starts(result.masked_fill(result <= LOWEST, torch.inf).flatten(0, 1))[..., None]
        grad_query, grad_key = torch.empty_like(matrices.query), torch.zeros_like(matrices.key)
        for group, rows, columns, scores in matrices.blocks():
            if result is None:
                scores.sigmoid_()
            else:
                scores.sub_(sums[group, rows]).exp_()
            scores *= grads[group, rows]
            grad_query[group, rows] = torch.bmm(scores, matrices.key[group, columns])
            grad_key[group, columns].baddbmm_(scores.transpose(1, 2), matrices.query[group, rows])
        joined = pieces.join_starts(grad_query, 1).view(query.shape), pieces.sum_ends(grad_key, 1).view(key.shape)
        add_gradients_at(grad_positives, positives, query, key, joined)
        return joined


@row_reduction_backward.register_fake
def _(grad: Tensor, grad_positives: Tensor, result: Tensor | None, query: Tensor, key: Tensor, *inputs: Any) -> Any:
    return query.new_empty(query.shape), key.new_empty(key.shape)


def _save_result(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, ctx.max_span_length = inputs
    ctx.save_for_backward(output[0], *tensors)


def _save_inputs(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    *tensors, ctx.max_span_length = inputs
    ctx.save_for_backward(*tensors)


def _logsumexp_backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
    return *row_reduction_backward(*grads, *ctx.saved_tensors, ctx.max_span_length), None, None, None


def _softplus_backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
    return *row_reduction_backward(*grads, None, *ctx.saved_tensors, ctx.max_span_length), None, None, None


row_logsumexp.register_autograd(_logsumexp_backward, setup_context=_save_result)
row_softplus.register_autograd(_softplus_backward, setup_context=_save_inputs)
