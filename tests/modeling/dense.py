"""Random scores, and what is asked of them by its definition, on the dense tensor in float64."""

import numpy as np
import pytest
import torch

from hf_globalpointer import SpanScores
from hf_globalpointer.modeling.loss_global_pointer import binary_cross_entropy_loss, class_imbalance_loss
from hf_globalpointer.modeling.span_labels import spans_from_labels


def random_scores(batch: int, types: int, n: int, shared: bool, seed: int, spread: float = 1.0) -> SpanScores:
    torch.manual_seed(seed)
    heads = 1 if shared else types
    query, key = (spread * torch.randn(batch, heads, n, 4) for _ in range(2))
    start, end = (spread * torch.randn(batch, types, n) if shared else None for _ in range(2))
    return SpanScores(query, key, start, end, torch.rand(batch, 2, n) > 0.2)


def make_scores(
    batch: int, types: int, n: int, shared: bool, seed: int, spread: float, max_span_length: int | None = None
) -> SpanScores:
    """Scores whose parts are normal with a standard deviation of about `spread`."""
    torch.manual_seed(seed)
    query, key = (torch.randn(batch, 1 if shared else types, n, 4) * (spread / 2) ** 0.5 for _ in range(2))
    start, end = (torch.randn(batch, types, n) * spread if shared else None for _ in range(2))
    return SpanScores(query, key, start, end, torch.rand(batch, 2, n) > 0.15, max_span_length)


def double(scores: SpanScores) -> SpanScores:
    parts = (scores.query, scores.key, scores.start, scores.end)
    doubled = (part if part is None else part.detach().double() for part in parts)
    return SpanScores(*doubled, scores.mask, scores.max_span_length)


def some_spans(scores: SpanScores, share: float, seed: int) -> tuple[torch.Tensor, list[set[tuple[int, int, int]]]]:
    """A random share of the valid spans, as padded labels in random order and as sets."""
    generator = np.random.default_rng(seed)
    gold = []
    for sample in scores.dense().isfinite():
        cells = [tuple(cell) for cell in sample.nonzero().tolist()]
        gold.append({cell for cell in cells if generator.random() < share})
    labels = torch.full((len(gold), max(1, *map(len, gold), 1), 3), -100)
    for row, spans in zip(labels, gold, strict=True):
        for index, span in zip(generator.permutation(len(spans)), spans, strict=True):
            row[index] = torch.tensor(span)
    return labels, gold


def rows(spans: torch.Tensor) -> list[list[tuple[int, int, int]]]:
    return [[(a, i, j) for a, i, j in sample if a >= 0] for sample in spans.tolist()]


def dense_set(scores: SpanScores, limits: list[float]) -> list[list[tuple[int, int, int]]]:
    """The spans over the limits, sample by sample, found cell by cell, in the documented order."""
    found = []
    for sample in scores.dense().tolist():
        cells = [
            (i, -j, a)
            for a, rows in enumerate(sample)
            for i, row in enumerate(rows)
            for j, score in enumerate(row)
            if score > limits[a]
        ]
        found.append([(a, i, -j) for i, j, a in sorted(cells)])
    return found


def dense_loss(scores: SpanScores, gold: list[set[tuple[int, int, int]]], threshold: float, kind: str) -> torch.Tensor:
    """Eq. 11, or binary cross-entropy, on the dense tensor of float64 scores: what it costs is no matter here."""
    dense = scores.dense()
    positive = torch.zeros_like(dense, dtype=torch.bool)
    for b, spans in enumerate(gold):
        for span in spans:
            positive[b][span] = True
    negative = dense.masked_fill(positive, -torch.inf).flatten(2)
    wanted = (-dense).masked_fill(~positive, -torch.inf).flatten(2)
    if kind == "bce":
        terms = torch.nn.functional.softplus(negative - threshold) + torch.nn.functional.softplus(wanted + threshold)
        return (terms.sum(-1) / dense.isfinite().flatten(2).sum(-1).clamp(min=1)).mean()
    limit = dense.new_full((*dense.shape[:2], 1), threshold)
    return (torch.cat([negative, limit], -1).logsumexp(-1) + torch.cat([wanted, -limit], -1).logsumexp(-1)).mean()


def assert_equals_dense(
    scores: SpanScores, share: float, threshold: float, kind: str, seed: int, device: str = "cpu"
) -> None:
    """Loss and gradients on a device are those of the definition, in float64 on the CPU."""
    labels, gold = some_spans(scores, share, seed)
    exact = double(scores)
    moved = (
        part if part is None else part.to(device) for part in (scores.query, scores.key, scores.start, scores.end)
    )
    scores = SpanScores(*moved, scores.mask.to(device), scores.max_span_length)
    positives = spans_from_labels(labels.to(device), scores.num_labels, scores.mask)
    parts = [
        [part.requires_grad_() for part in (s.query, s.key, s.start, s.end) if part is not None]
        for s in (scores, exact)
    ]
    loss = {"bce": binary_cross_entropy_loss, "class_imbalance": class_imbalance_loss}[kind]
    value, expected = loss(scores, positives, threshold), dense_loss(exact, gold, threshold, kind)
    assert value.item() == pytest.approx(expected.item(), rel=1e-5, abs=1e-6)
    gradients, references = (torch.autograd.grad(loss, p) for loss, p in zip((value, expected), parts, strict=True))
    for gradient, reference in zip(gradients, references, strict=True):
        assert (gradient.double().cpu() - reference).norm() <= 1e-4 * reference.norm() + 1e-7
