"""The reductions of `per_type_reductions.py` as Triton kernels, for NVIDIA GPUs.

One program takes a tile of start tokens of one matrix, that of a sample and a type, and goes through the tiles of end
tokens that their spans may have: those on and above the diagonal, inside the band of the longest span. The scores of a
tile live in registers, the sum of a row is kept with its highest score so far (Milakov and Gimelshein, 2018,
https://arxiv.org/abs/1805.02867), and nothing of size n^2 is written. Backward computes the scores again, once by
start tokens for the queries and once by end tokens for the keys, so that no two programs add to one place.

Positives are listed by sample and type; a tile leaves out those of its own. All shapes are fixed by those of the
inputs, so that nothing waits for the GPU, and a CUDA graph can hold it.

Off until [`use_triton_kernels`] is called.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

from .per_type_reductions import row_logsumexp, row_reduction_backward, row_softplus
from .span_blocks import LOWEST, add_gradients_at, scores_at


_LOWEST = tl.constexpr(LOWEST)
# Start tokens and end tokens of a tile.
_TILE = 64


def use_triton_kernels() -> None:
    """Run the sums over the spans of GlobalPointer's own heads in Triton, on NVIDIA GPUs, in this process."""
    row_logsumexp.register_kernel("cuda", logsumexp)
    row_softplus.register_kernel("cuda", softplus)
    row_reduction_backward.register_kernel("cuda", backward)


def logsumexp(
    query: Tensor, key: Tensor, mask: Tensor, positives: Tensor, max_span_length: int | None
) -> tuple[Tensor, Tensor]:
    """As [`row_logsumexp`]."""
    return _sums(query, key, mask, positives, max_span_length, is_softplus=False)


def softplus(
    query: Tensor, key: Tensor, mask: Tensor, positives: Tensor, max_span_length: int | None
) -> tuple[Tensor, Tensor]:
    """As [`row_softplus`]."""
    return _sums(query, key, mask, positives, max_span_length, is_softplus=True)


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
    query, key = query.contiguous(), key.contiguous()
    grad = grad.masked_fill(~mask[:, :1], 0.0).contiguous()
    # No span takes part in a sum that is not one; the other sum needs none.
    sums = grad if result is None else result.masked_fill(result <= LOWEST, torch.inf).contiguous()
    grads = torch.empty_like(query), torch.empty_like(key)
    spans = _spans(mask, positives, query.shape[1], max_span_length)
    options = {**_sizes(query), "is_softplus": result is None}
    for of_keys, into in enumerate(grads):
        _gradients[_grid(query)](query, key, *spans, grad, sums, into, **options, of_keys=bool(of_keys))
    add_gradients_at(grad_positives, positives, query, key, grads)
    return grads


def _sums(
    query: Tensor, key: Tensor, mask: Tensor, positives: Tensor, max_span_length: int | None, is_softplus: bool
) -> tuple[Tensor, Tensor]:
    query, key = query.contiguous(), key.contiguous()
    result = query.new_empty(query.shape[:3], dtype=torch.float32)
    spans = _spans(mask, positives, query.shape[1], max_span_length)
    _row_sums[_grid(query)](query, key, *spans, result, **_sizes(query), is_softplus=is_softplus)
    result.masked_fill_(~mask[:, :1], 0.0 if is_softplus else LOWEST)
    return result, scores_at(query, key, None, None, positives)


def _grid(query: Tensor) -> tuple[int]:
    """A program for each tile of each matrix."""
    samples, labels, n, _ = query.shape
    return (samples * labels * triton.cdiv(n, _TILE),)


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


def _sizes(query: Tensor) -> dict[str, int]:
    """Types, tokens, the size of a vector as it is and as a tile holds it, and the tokens of a tile."""
    _, labels, n, d = query.shape
    return {"labels": labels, "n": n, "d": d, "width": max(16, triton.next_power_of_2(d)), "tile": _TILE}


@triton.jit
def _place(labels: Any, n: Any, tile: tl.constexpr) -> Any:
    """The matrix of this program, its sample and type, and the first token of its tile."""
    tiles = tl.cdiv(n, tile)
    matrix = (tl.program_id(0) // tiles).to(tl.int64)
    return matrix, matrix // labels, matrix % labels, tl.program_id(0) % tiles * tile


@triton.jit
def _vectors(base: Any, tokens: Any, n: Any, d: tl.constexpr, width: tl.constexpr) -> Any:
    """Where the vectors of tokens are, `(tokens, width)`, and which of their elements there are."""
    parts = tl.arange(0, width)
    return base + tokens[:, None] * d + parts[None], (tokens[:, None] < n) & (parts[None] < d)


@triton.jit
def _negative_scores(q: Any, k: Any, starts: Any, ends: Any, n: Any, may_end: Any, listed: Any, longest: Any) -> Any:
    """The scores of a tile, `(starts, ends)`; -inf for what is no negative span.

    `may_end` is that of the sample; `listed` points to the bounds of the first positive of the type, and one beyond.
    """
    # In full float32, as the reference.
    scores = tl.dot(q, tl.trans(k), input_precision="ieee")
    length = ends[None] - starts[:, None]
    ending = tl.load(may_end + ends, mask=ends < n, other=0) > 0
    negative = (length >= 0) & (length < longest) & ending[None]
    bounds, first, last = listed
    for place in range(first, last):
        start, end = tl.load(bounds + 2 * place), tl.load(bounds + 2 * place + 1)
        negative = negative & ((starts[:, None] != start) | (ends[None] != end))
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
    may_end: Any,
    bounds: Any,
    firsts: Any,
    num_listed: Any,
    longest: Any,
    result: Any,
    labels: Any,
    n: Any,
    d: tl.constexpr,
    width: tl.constexpr,
    tile: tl.constexpr,
    is_softplus: tl.constexpr,
) -> None:
    """The log-sum-exp, or the sum of log(1 + e^s), over the negative spans of each start token of a tile."""
    matrix, sample, label, begin = _place(labels, n, tile)
    listed = _listed(bounds, firsts, num_listed, sample, label, labels)
    starts = begin + tl.arange(0, tile)
    places, inside = _vectors(query + matrix * n * d, starts, n, d, width)
    q = tl.load(places, mask=inside, other=0.0)
    top = tl.full((tile,), _LOWEST, tl.float32)
    total = tl.zeros((tile,), tl.float32)
    for other in range(begin, tl.minimum(n, begin + tile + longest - 1), tile):
        ends = other + tl.arange(0, tile)
        places, inside = _vectors(key + matrix * n * d, ends, n, d, width)
        k = tl.load(places, mask=inside, other=0.0)
        s = _negative_scores(q, k, starts, ends, n, may_end + sample * n, listed, longest)
        if is_softplus:
            # log(1 + e^s), without e^s of a large s
            total += tl.sum(tl.maximum(s, 0.0) + tl.log(1.0 + tl.exp(-tl.abs(s))), 1)
        else:
            higher = tl.maximum(top, tl.max(s, 1))
            total = total * tl.exp(top - higher) + tl.sum(tl.exp(s - higher[:, None]), 1)
            top = higher
    if not is_softplus:
        total = tl.maximum(top + tl.log(total), _LOWEST)
    tl.store(result + matrix * n + starts, total, mask=starts < n)


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
    may_end: Any,
    bounds: Any,
    firsts: Any,
    num_listed: Any,
    longest: Any,
    grad: Any,
    sums: Any,
    into: Any,
    labels: Any,
    n: Any,
    d: tl.constexpr,
    width: tl.constexpr,
    tile: tl.constexpr,
    is_softplus: tl.constexpr,
    of_keys: tl.constexpr,
) -> None:
    """The gradients of the queries of a tile of start tokens, sum_j g_ij k_j, or of the keys of one of end tokens."""
    matrix, sample, label, begin = _place(labels, n, tile)
    listed = _listed(bounds, firsts, num_listed, sample, label, labels)
    first_vector = matrix * n * d
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
            s = _negative_scores(vectors, own, others, tokens, n, may_end + sample * n, listed, longest)
            g = tl.trans(_shares(s, others, n, grad + matrix * n, sums + matrix * n, is_softplus))
        else:
            s = _negative_scores(own, vectors, tokens, others, n, may_end + sample * n, listed, longest)
            g = _shares(s, tokens, n, grad + matrix * n, sums + matrix * n, is_softplus)
        total += tl.dot(g, vectors.to(tl.float32), input_precision="ieee")
    places, inside = _vectors(into + first_vector, tokens, n, d, width)
    tl.store(places, total, mask=inside)
