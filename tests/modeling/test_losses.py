import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from hf_globalpointer import SpanScores
from hf_globalpointer.modeling.loss_global_pointer import binary_cross_entropy_loss, class_imbalance_loss
from hf_globalpointer.modeling.span_labels import spans_from_labels
from modeling import reference
from modeling.dense import double, random_scores, some_spans


@settings(max_examples=60)
@given(
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 7),
    st.booleans(),
    st.integers(0, 2**31),
    st.sampled_from([0.0, 0.1, 0.6, 1.0]),
    st.sampled_from([0.3, 1.0, 3.0]),
    st.sampled_from([0.0, 1.5, -2.0]),
)
def test_class_imbalance_loss_is_eq_11(
    batch: int, types: int, n: int, shared: bool, seed: int, share: float, spread: float, threshold: float
) -> None:
    scores = random_scores(batch, types, n, shared, seed, spread)
    labels, gold = some_spans(scores, share, seed)
    dense = double(scores).dense().numpy()
    expected = np.mean([reference.class_imbalance_loss(s, g, threshold) for s, g in zip(dense, gold, strict=True)])
    loss = class_imbalance_loss(scores, spans_from_labels(labels, types, scores.mask), threshold)
    assert loss.item() == pytest.approx(expected, rel=1e-5, abs=1e-6)


@settings(max_examples=40)
@given(*[st.integers(1, 3)] * 2, st.integers(1, 7), st.booleans(), st.integers(0, 2**31), st.floats(-2, 2))
def test_bce_is_torchs_over_the_valid_spans(
    batch: int, types: int, n: int, shared: bool, seed: int, threshold: float
) -> None:
    scores = random_scores(batch, types, n, shared, seed)
    labels, gold = some_spans(scores, 0.3, seed)
    expected = torch.zeros(batch, types, dtype=torch.float64)
    for b, sample in enumerate(double(scores).dense()):
        for a, cells in enumerate(sample):
            valid = cells.isfinite()
            target = torch.tensor([(a, i, j) in gold[b] for i, j in valid.nonzero().tolist()]).double()
            if len(target):
                bce = torch.nn.functional.binary_cross_entropy_with_logits
                expected[b, a] = bce(cells[valid] - threshold, target)
    loss = binary_cross_entropy_loss(scores, spans_from_labels(labels, types, scores.mask), threshold)
    assert loss.item() == pytest.approx(expected.mean().item(), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("loss", [class_imbalance_loss, binary_cross_entropy_loss])
@pytest.mark.parametrize("shared", [True, False])
def test_gradients_pass_gradcheck(loss: object, shared: bool) -> None:
    scores = double(random_scores(2, 2, 4, shared, 5))
    labels = spans_from_labels(some_spans(scores, 0.3, 5)[0], 2, scores.mask)
    factors = [
        part.requires_grad_() for part in (scores.query, scores.key, scores.start, scores.end) if part is not None
    ]

    def of(*parts: torch.Tensor) -> torch.Tensor:
        query, key, start, end = parts if shared else (*parts, None, None)
        return loss(SpanScores(query, key, start, end, scores.mask), labels, 0.5)

    assert torch.autograd.gradcheck(of, factors)


@pytest.mark.parametrize("loss", [class_imbalance_loss, binary_cross_entropy_loss])
@pytest.mark.parametrize("level", [10.0, 60.0, 400.0, 3000.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_extreme_scores_give_no_nan_infinity_or_negative_loss(loss: object, level: float, sign: int) -> None:
    n = 6
    start = torch.full((1, 2, n), -level, requires_grad=True)
    end = torch.zeros(1, 2, n)
    with torch.no_grad():
        start[0, 0, 1] = level  # spans of type 0 that begin at token 1 score high, all others low
        start *= sign
    scores = SpanScores(*torch.zeros(2, 1, 1, n, 2), start, end, torch.ones(1, 2, n, dtype=torch.bool))
    value = loss(scores, torch.tensor([[[0, 1, j] for j in range(1, n)]]))
    value.backward()
    assert value >= 0
    assert value.isfinite()
    assert start.grad.isfinite().all()
    if sign == 1:
        assert value < 1e-3  # all is as it should be: a loss that subtracts positives from the sum is far off here
    else:
        assert value > 0.1 * level


@pytest.mark.parametrize("loss", [class_imbalance_loss, binary_cross_entropy_loss])
@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("level", [60.0, 400.0, 3000.0])
def test_extreme_products_give_no_nan_infinity_or_negative_loss(loss: object, shared: bool, level: float) -> None:
    torch.manual_seed(0)
    query, key = (torch.randn(2, 1 if shared else 3, 70, 2).mul(level**0.5).requires_grad_() for _ in range(2))
    start, end = (torch.randn(2, 3, 70).mul(level).requires_grad_() if shared else None for _ in range(2))
    scores = SpanScores(query, key, start, end, torch.rand(2, 2, 70) > 0.2)
    value = loss(scores, spans_from_labels(some_spans(scores, 0.01, 0)[0], 3, scores.mask))
    parts = [part for part in (query, key, start, end) if part is not None]
    gradients = torch.autograd.grad(value, parts)
    assert value > 0
    assert value.isfinite()
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.abs().max() > 0 for gradient in gradients)


@pytest.mark.parametrize("loss", [class_imbalance_loss, binary_cross_entropy_loss])
@pytest.mark.parametrize("shared", [True, False])
def test_autocast_changes_neither_loss_nor_gradient(loss: object, shared: bool) -> None:
    scores = random_scores(2, 3, 20, shared, 0, 2.0)
    labels = spans_from_labels(some_spans(scores, 0.05, 0)[0], 3, scores.mask)
    query = scores.query.requires_grad_()
    expected = loss(scores, labels)
    (gradient,) = torch.autograd.grad(expected, query)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(scores, labels)
        (again,) = torch.autograd.grad(value, query)
        found = scores.above(0.0)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(again, gradient)
    assert torch.equal(found.spans, scores.above(0.0).spans)


@pytest.mark.parametrize("loss", [class_imbalance_loss, binary_cross_entropy_loss])
def test_everything_masked_gives_zero_loss_and_gradient(loss: object) -> None:
    query = torch.randn(2, 1, 5, 4, requires_grad=True)
    start = torch.randn(2, 3, 5, requires_grad=True)
    scores = SpanScores(query, torch.randn(2, 1, 5, 4), start, start, torch.zeros(2, 2, 5, dtype=torch.bool))
    value = loss(scores, torch.full((2, 1, 3), -100))
    value.backward()
    assert value == 0
    assert query.grad.eq(0).all()
    assert start.grad.eq(0).all()
