"""Scores and losses written down from the paper's equations, in float64 and one span at a time.

Nothing here comes from the package: weights are read in the layout that its documentation promises.
"""

import math

import numpy as np
import torch
from numpy.typing import NDArray


Array = NDArray[np.float64]


def rotated(vector: Array, position: int, theta: float) -> Array:
    """R_p x of eq. 5: pair (2i, 2i+1) is a complex number, turned by the angle p * theta^(-2i/d)."""
    pairs = vector[0::2] + 1j * vector[1::2]
    pairs = pairs * np.exp(1j * position * theta ** (-2 * np.arange(len(pairs)) / len(vector)))
    return np.stack([pairs.real, pairs.imag], axis=1).reshape(-1)


def dense_scores(query: Array, key: Array, start: Array, end: Array, mask: NDArray[np.bool_]) -> Array:
    """s_a(i, j) for one sample: query and key `(E, n, d)` unrotated, start and end `(E, n)`, mask `(n,)`."""
    types, n, size = query.shape
    scores = np.full((types, n, n), -np.inf)
    for a in range(types):
        for i in range(n):
            for j in range(i, n):
                if mask[i] and mask[j]:
                    product = rotated(query[a, i], i, 10000.0) @ rotated(key[a, j], j, 10000.0)
                    scores[a, i, j] = product / math.sqrt(size) + start[a, i] + end[a, j]
    return scores


def full_scores(hidden: Array, weight: Array, bias: Array, types: int, mask: NDArray[np.bool_]) -> Array:
    """Eq. 2-5: rows of `weight` are, type after type, d of the query and d of the key."""
    size = len(weight) // types // 2
    query, key = np.empty((types, len(hidden), size)), np.empty((types, len(hidden), size))
    for a in range(types):
        rows = slice(2 * a * size, (2 * a + 1) * size), slice((2 * a + 1) * size, (2 * a + 2) * size)
        query[a], key[a] = (hidden @ weight[part].T + bias[part] for part in rows)
    nothing = np.zeros((types, len(hidden)))
    return dense_scores(query, key, nothing, nothing, mask)


def efficient_scores(
    hidden: Array,
    weights: tuple[Array, Array],
    biases: tuple[Array, Array],
    from_hidden: bool,
    mask: NDArray[np.bool_],
) -> Array:
    """Eq. 7, or eq. 6 `from_hidden`: w_a . [x_i; x_j] is split into a start and an end score, each halved."""
    states = hidden @ weights[0].T + biases[0]
    size = states.shape[1] // 2
    types = len(weights[1]) // 2
    query = np.broadcast_to(states[:, :size], (types, len(hidden), size))
    key = np.broadcast_to(states[:, size:], (types, len(hidden), size))
    bounds = (hidden if from_hidden else states) @ weights[1].T + biases[1]
    start = np.stack([bounds[:, 2 * a] for a in range(types)]) / 2
    end = np.stack([bounds[:, 2 * a + 1] for a in range(types)]) / 2
    return dense_scores(query, key, start, end, mask)


def class_imbalance_loss(scores: Array, gold: set[tuple[int, int, int]], threshold: float = 0.0) -> float:
    """Eq. 11 of one sample, scores `(E, n, n)` with -inf outside the valid spans, averaged over the types."""
    total = 0.0
    for a in range(len(scores)):
        spans = [(i, j) for i, j in zip(*np.nonzero(np.isfinite(scores[a])), strict=True)]
        negative = [math.exp(scores[a, i, j]) for i, j in spans if (a, i, j) not in gold]
        positive = [math.exp(-scores[a, i, j]) for i, j in spans if (a, i, j) in gold]
        total += math.log(math.exp(threshold) + math.fsum(negative))
        total += math.log(math.exp(-threshold) + math.fsum(positive))
    return total / len(scores)


def reference_scores(head: torch.nn.Module, hidden: torch.Tensor, mask: torch.Tensor) -> Array:
    """The scores of a head, by its own weights, of each sample."""
    weights = {name: value.detach().double().numpy() for name, value in head.named_parameters()}
    per_sample = []
    for x, m in zip(hidden.double().numpy(), mask.bool().numpy(), strict=True):
        if type(head).__name__ == "GlobalPointerHead":
            args = weights["dense.weight"], weights["dense.bias"], head.num_labels, m
            per_sample.append(full_scores(x, *args))
        else:
            dense = (weights["dense_1.weight"], weights["dense_2.weight"])
            biases = (weights["dense_1.bias"], weights["dense_2.bias"])
            per_sample.append(efficient_scores(x, dense, biases, head.from_hidden, m))
    return np.stack(per_sample)
