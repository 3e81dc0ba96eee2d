"""The reductions of `per_type_reductions.py` and `shared_reductions.py` as Triton kernels, for NVIDIA GPUs.

Forward, one program takes a tile of start tokens of one sample and type, and goes through the tiles of end tokens
that their spans may have: those on and above the diagonal, inside the band of the longest span. The scores of a tile
live in registers, the sum of a row is kept with its highest score so far (Milakov and Gimelshein, 2018,
https://arxiv.org/abs/1805.02867), and nothing of size n^2 is written. Backward computes the scores again, once by
start tokens for the queries and once by end tokens for the keys, so that no two programs add to one place. Where all
types share query and key, it computes their product once for a tile, and goes through the types.

Positives are listed by sample and type; a tile leaves out those of its own. All shapes are fixed by those of the
inputs, so that nothing waits for the GPU, and a CUDA graph can hold it.

Off until [`use_triton_kernels`] is called.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .span_blocks import LOWEST, add_gradients_at, scores_at


_LOWEST = tl.constexpr(LOWEST)
# Start tokens and end tokens of a tile.
_TILE = 64


def logsumexp(
    query: Tensor, key: Tensor, mask: Tensor, positives: Tensor, max_span_length: int | None
) -> tuple[Tensor, Tensor]:
    """As [`row_logsumexp`]."""
    rows = _sums(query, key, None, mask, positives, max_span_length, is_softplus=False)
    return rows, scores_at(query, key, None, None, positives)


def softplus(
    query: Tensor, key: Tensor, mask: Tensor, positives: Tensor, max_span_length: int | None
) -> tuple[Tensor, Tensor]:
    """As [`row_softplus`]."""
    rows = _sums(query, key, None, mask, positives, max_span_length, is_softplus=True)
    return rows, scores_at(query, key, None, None, positives)


def backward(
    grad: Tensor,
    grad_positives: Tensor,
    result: Tensor | None,
    query: Tensor,
    key: Tensor,
    mask: Tensor,
    positives: Tensor,
    max_span_length: int | None,
) -> tuple[Tensor, Tensor]:
    """As [`row_reduction_backward`]."""
    grad_query, grad_key, _ = _factor_gradients(grad, result, query, key, None, mask, positives, max_span_length)
    add_gradients_at(grad_positives, positives, query, key, (grad_query, grad_key))
    return grad_query, grad_key


def shared_logsumexp(
    query: Tensor,
    key: Tensor,
    start: Tensor,
    end: Tensor,
    mask: Tensor,
    positives: Tensor,
    max_span_length: int | None,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """As [`shared_row_logsumexp`]; the last two of its results, which backward does not need here, are zeros."""
    rows = _sums(query, key, end, mask, positives, max_span_length, is_softplus=False)
    rows.add_(start).clamp_(min=LOWEST).masked_fill_(~mask[:, :1], LOWEST)
    listed = scores_at(query, key, start, end, positives)
    return rows.logsumexp(-1), listed, rows, torch.zeros_like(end[..., :1]), torch.zeros_like(end)


def shared_backward(
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
    """As [`shared_row_logsumexp_backward`]."""
    # d start = G e^(lse - total)
    grad_start = (result - total[..., None]).exp_().mul_(grad[..., None]).masked_fill_(~mask[:, :1], 0.0)
    sums = (result - start).masked_fill_(result <= LOWEST, LOWEST)
    parts = _factor_gradients(grad_start, sums, query, key, end, mask, positives, max_span_length)
    grads = *parts[:2], grad_start, parts[2]
    add_gradients_at(grad_positives, positives, query, key, grads)
    return grads


def _sums(
    query: Tensor,
    key: Tensor,
    end: Tensor | None,
    mask: Tensor,
    positives: Tensor,
    max_span_length: int | None,
    is_softplus: bool,
) -> Tensor:
    """The sum of each start token over its negative spans, `(B, E, n)`; their scores have `end`, if it is given."""
    labels = query.shape[1] if end is None else end.shape[1]
    result = query.new_empty((len(query), labels, query.shape[2]), dtype=torch.float32)
    spans = _spans(mask, positives, labels, max_span_length)
    inputs = query.contiguous(), key.contiguous(), result if end is None else end.contiguous(), *spans
    options = {**_sizes(query, labels), "has_end": end is not None, "is_softplus": is_softplus}
    _row_sums[_grid(query, labels)](*inputs, result, **options)
    return result.masked_fill_(~mask[:, :1], 0.0 if is_softplus else LOWEST)


def _factor_gradients(
    grad: Tensor,
    result: Tensor | None,
    query: Tensor,
    key: Tensor,
    end: Tensor | None,
    mask: Tensor,
    positives: Tensor,
    max_span_length: int | None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The gradients of query, key and end, from those of the sums; `result` holds these, if they are log-sum-exp."""
    labels = grad.shape[1]
    grad = grad.masked_fill(~mask[:, :1], 0.0).contiguous()
    # No span takes part in a sum that is not one; the other sum needs none.
    sums = grad if result is None else result.masked_fill(result <= LOWEST, torch.inf).contiguous()
    query, key = query.contiguous(), key.contiguous()
    grads = torch.empty_like(query), torch.empty_like(key)
    grad_end = torch.zeros_like(grad)
    spans = _spans(mask, positives, labels, max_span_length)
    options = {**_sizes(query, labels), "has_end": end is not None, "is_softplus": result is None}
    inputs = query, key, grad if end is None else end.contiguous(), *spans
    for of_keys, into in enumerate(grads):
        _gradients[_grid(query, query.shape[1])](*inputs, grad, sums, into, grad_end, **options, of_keys=bool(of_keys))
    return *grads, grad_end


def _grid(query: Tensor, matrices: int) -> tuple[int]:
    """A program for each tile of so many matrices of each sample."""
    return (len(query) * matrices * triton.cdiv(query.shape[2], _TILE),)


def _spans(mask: Tensor, positives: Tensor, labels: int, max_span_length: int | None) -> tuple[Any, ...]:
    """What says which spans are negatives.

    Returns:
        Whether a token may end one `(B, n)`; start and end of the positives by type `(B, M, 2)`; where those of each
        type begin and end there `(B, E + 1)`; M; and the most tokens of a span.
    """
    samples, _, n = mask.shape
    label, order = positives[..., 0].masked_fill(positives[..., 0] < 0, labels).sort(dim=1)
    bounds = positives[..., 1:].gather(1, order[..., None].expand(-1, -1, 2)).int().contiguous()
    types = torch.arange(labels + 1, device=mask.device).expand(samples, -1).contiguous()
    firsts = torch.searchsorted(label.contiguous(), types).int()
    longest = n if max_span_length is None else max_span_length
    return mask[:, 1].to(torch.int8).contiguous(), bounds, firsts, positives.shape[1], longest


def _sizes(query: Tensor, labels: int) -> dict[str, int]:
    """Types, queries of a token, tokens, the size of a vector as it is and as a tile holds it, tokens of a tile."""
    _, heads, n, d = query.shape
    width = max(16, triton.next_power_of_2(d))
    return {"labels": labels, "heads": heads, "n": n, "d": d, "width": width, "tile": _TILE}


@triton.jit
def _place(matrices: Any, n: Any, tile: tl.constexpr) -> Any:
    """The sample of this program, its matrix of so many, and the first token of its tile."""
    tiles = tl.cdiv(n, tile)
    number = (tl.program_id(0) // tiles).to(tl.int64)
    return number // matrices, number % matrices, tl.program_id(0) % tiles * tile


@triton.jit
def _vectors(base: Any, tokens: Any, n: Any, d: tl.constexpr, width: tl.constexpr) -> Any:
    """Where the vectors of tokens are, `(tokens, width)`, and which of their elements there are."""
    parts = tl.arange(0, width)
    return base + tokens[:, None] * d + parts[None], (tokens[:, None] < n) & (parts[None] < d)


@triton.jit
def _is_span(starts: Any, ends: Any, n: Any, may_end: Any, longest: Any) -> Any:
    """Which pairs of a tile are spans `(starts, ends)`; `may_end` is that of the sample."""
    length = ends[None] - starts[:, None]
    ending = tl.load(may_end + ends, mask=ends < n, other=0) > 0
    return (length >= 0) & (length < longest) & ending[None]


@triton.jit
def _negative_scores(
    products: Any, is_span: Any, starts: Any, ends: Any, n: Any, listed: Any, end: Any, has_end: tl.constexpr
) -> Any:
    """The scores of a type in a tile, `(starts, ends)`; -inf for what is no negative span.

    `listed` points to the bounds of the first positive of the type, and one beyond; `end` to what the type adds for
    the end token, if it does.
    """
    negative = is_span
    bounds, first, last = listed
    for place in range(first, last):
        one, other = tl.load(bounds + 2 * place), tl.load(bounds + 2 * place + 1)
        negative = negative & ((starts[:, None] != one) | (ends[None] != other))
    scores = products
    if has_end:
        scores += tl.load(end + ends, mask=ends < n, other=0.0)[None]
    return tl.where(negative, scores, float("-inf"))


@triton.jit
def _listed(bounds: Any, firsts: Any, num_listed: Any, sample: Any, label: Any, labels: Any) -> Any:
    """Where the bounds of a sample's positives are, and which of them are of a type."""
    place = firsts + sample * (labels + 1) + label
    return bounds + sample * num_listed * 2, tl.load(place), tl.load(place + 1)


@triton.jit
def _row_sums(
    query: Any,
    key: Any,
    end: Any,
    may_end: Any,
    bounds: Any,
    firsts: Any,
    num_listed: Any,
    longest: Any,
    result: Any,
    labels: Any,
    heads: Any,
    n: Any,
    d: tl.constexpr,
    width: tl.constexpr,
    tile: tl.constexpr,
    has_end: tl.constexpr,
    is_softplus: tl.constexpr,
) -> None:
    """The log-sum-exp, or the sum of log(1 + e^s), over the negative spans of each start token of a tile."""
    sample, label, begin = _place(labels, n, tile)
    listed = _listed(bounds, firsts, num_listed, sample, label, labels)
    row = (sample * labels + label) * n
    # Of the type, or of all types.
    first_vector = (sample * heads + tl.minimum(label, heads - 1)) * n * d
    starts = begin + tl.arange(0, tile)
    places, inside = _vectors(query + first_vector, starts, n, d, width)
    q = tl.load(places, mask=inside, other=0.0)
    top = tl.full((tile,), _LOWEST, tl.float32)
    total = tl.zeros((tile,), tl.float32)
    for other in range(begin, tl.minimum(n, begin + tile + longest - 1), tile):
        ends = other + tl.arange(0, tile)
        places, inside = _vectors(key + first_vector, ends, n, d, width)
        k = tl.load(places, mask=inside, other=0.0)
        # In full float32, as the reference.
        products = tl.dot(q, tl.trans(k), input_precision="ieee")
        is_span = _is_span(starts, ends, n, may_end + sample * n, longest)
        s = _negative_scores(products, is_span, starts, ends, n, listed, end + row, has_end)
        if is_softplus:
            # log(1 + e^s), without e^s of a large s
            total += tl.sum(tl.maximum(s, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(s))), 1)
        else:
            higher = tl.maximum(top, tl.max(s, 1))
            total = total * tl.exp(top - higher) + tl.sum(tl.exp(s - higher[:, None]), 1)
            top = higher
    if not is_softplus:
        total = tl.maximum(top + tl.log(total), _LOWEST)
    tl.store(result + row + starts, total, mask=starts < n)


@triton.jit
def _shares(s: Any, starts: Any, n: Any, grad: Any, sums: Any, is_softplus: tl.constexpr) -> Any:
    """The gradients of the scores of a tile, from those of the sums of its start tokens."""
    inside = starts < n
    g = tl.load(grad + starts, mask=inside, other=0.0)
    if is_softplus:
        share = 1.0 / (1.0 + tl.exp(-s))
    else:
        share = tl.exp(s - tl.load(sums + starts, mask=inside, other=float("inf"))[:, None])
    return share * g[:, None]


@triton.jit
def _gradients(
    query: Any,
    key: Any,
    end: Any,
    may_end: Any,
    bounds: Any,
    firsts: Any,
    num_listed: Any,
    longest: Any,
    grad: Any,
    sums: Any,
    into: Any,
    grad_end: Any,
    labels: Any,
    heads: Any,
    n: Any,
    d: tl.constexpr,
    width: tl.constexpr,
    tile: tl.constexpr,
    has_end: tl.constexpr,
    is_softplus: tl.constexpr,
    of_keys: tl.constexpr,
) -> None:
    """The gradients of the queries of a tile of start tokens, sum_aj g_aij k_j, or of the keys of one of end tokens.

    With the keys come those of `end`, sum_i g_aij: this program is the only one to add to those of its tokens.
    """
    sample, head, begin = _place(heads, n, tile)
    first_vector = (sample * heads + head) * n * d
    tokens = begin + tl.arange(0, tile)
    places, inside = _vectors((key if of_keys else query) + first_vector, tokens, n, d, width)
    own = tl.load(places, mask=inside, other=0.0)
    total = tl.zeros((tile, width), tl.float32)
    if of_keys:
        # From the tile of the first start token that reaches this far.
        low, high = tl.maximum(begin - longest + 1, 0) // tile * tile, begin + tile
    else:
        low, high = begin, tl.minimum(n, begin + tile + longest - 1)
    for other in range(low, high, tile):
        others = other + tl.arange(0, tile)
        places, inside = _vectors((query if of_keys else key) + first_vector, others, n, d, width)
        vectors = tl.load(places, mask=inside, other=0.0)
        if of_keys:
            starts, ends = others, tokens
            products = tl.dot(vectors, tl.trans(own), input_precision="ieee")
        else:
            starts, ends = tokens, others
            products = tl.dot(own, tl.trans(vectors), input_precision="ieee")
        is_span = _is_span(starts, ends, n, may_end + sample * n, longest)
        g = tl.zeros((tile, tile), tl.float32)
        # The types of this query and key.
        for label in range(head * labels // heads, (head + 1) * labels // heads):
            listed = _listed(bounds, firsts, num_listed, sample, label, labels)
            row = (sample * labels + label) * n
            s = _negative_scores(products, is_span, starts, ends, n, listed, end + row, has_end)
            share = _shares(s, starts, n, grad + row, sums + row, is_softplus)
            g += share
            if has_end and of_keys:
                tl.atomic_add(grad_end + row + ends, tl.sum(share, 0), mask=ends < n)
        if of_keys:
            g = tl.trans(g)
        total += tl.dot(g, vectors.to(tl.float32), input_precision="ieee")
    places, inside = _vectors(into + first_vector, tokens, n, d, width)
    tl.store(places, total, mask=inside)
