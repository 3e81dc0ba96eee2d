"""The Triton kernels in Triton's interpreter, on the CPU, against the dense definition in float64."""

from typing import Any

import pytest
import torch
from torch import Tensor

from hf_globalpointer.modeling import span_scores, triton_reductions
from hf_globalpointer.modeling.per_type_reductions import row_logsumexp, row_softplus
from modeling.dense import assert_equals_dense, make_scores


@pytest.fixture
def interpreted(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The kernels in the place of the operators, in small tiles; lists what is called."""
    calls: list[str] = []

    class Sums(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, kind: str, *inputs: Any) -> Any:
            calls.append(kind)
            *tensors, ctx.max_span_length = inputs
            result, listed = getattr(triton_reductions, kind)(*inputs)
            ctx.is_softplus = kind == "softplus"
            ctx.save_for_backward(result, *tensors)
            return result, listed

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> Any:
            calls.append("backward")
            result, *tensors = ctx.saved_tensors
            saved = None if ctx.is_softplus else result
            return None, *triton_reductions.backward(*grads, saved, *tensors, ctx.max_span_length), None, None, None

    class SharedSums(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            calls.append("shared_logsumexp")
            *tensors, ctx.max_span_length = inputs
            total, listed, *saved = triton_reductions.shared_logsumexp(*inputs)
            ctx.save_for_backward(total, *saved, *tensors)
            return total, listed

        @staticmethod
        def backward(ctx: Any, *grads: Tensor) -> Any:
            calls.append("shared_backward")
            return *triton_reductions.shared_backward(*grads, *ctx.saved_tensors, ctx.max_span_length), *[None] * 3

    monkeypatch.setattr(triton_reductions, "_TILE", 16)
    monkeypatch.setattr(span_scores, "shared_row_logsumexp", SharedSums.apply)
    monkeypatch.setattr(span_scores, "row_logsumexp", lambda *inputs: Sums.apply("logsumexp", *inputs))
    monkeypatch.setattr(span_scores, "row_softplus", lambda *inputs: Sums.apply("softplus", *inputs))
    return calls


@pytest.mark.parametrize(("kind", "shared"), [("class_imbalance", False), ("class_imbalance", True), ("bce", False)])
@pytest.mark.parametrize("max_span_length", [None, 17])
@pytest.mark.parametrize("n", [1, 37])
def test_loss_and_gradients_are_those_of_the_dense_definition(
    kind: str, shared: bool, n: int, max_span_length: int | None, interpreted: list[str]
) -> None:
    # An interpreter takes its time: of the longest texts, not all spans are positives.
    for share in (0.0, 0.02 if n > 16 else 1.0):
        assert_equals_dense(make_scores(2, 2, n, shared, n, 3.0, max_span_length), share, 0.5, kind, n)
    prefix = "shared_" if shared else ""
    assert interpreted == [prefix + ("softplus" if kind == "bce" else "logsumexp"), prefix + "backward"] * 2


@pytest.mark.parametrize("spread", [50.0, 1000.0])
def test_scores_that_overflow_when_they_are_exponentiated(spread: float, interpreted: list[str]) -> None:
    for kind, shared in (("class_imbalance", False), ("class_imbalance", True), ("bce", False)):
        assert_equals_dense(make_scores(2, 2, 20, shared, 0, spread, None), 0.05, 0.0, kind, 0)
    assert interpreted


@pytest.mark.parametrize("size", [1, 3, 16, 20])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_the_sums_are_those_of_the_operators_for_any_size_and_in_half_precision(size: int, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    query, key = (torch.randn(2, 3, 70, size).to(dtype) for _ in range(2))
    mask = torch.rand(2, 2, 70) > 0.2
    positives = torch.tensor([[[2, 60, 65], [0, 1, 1], [2, 3, 32]], [[1, 0, 29], [-100] * 3, [-100] * 3]])
    tolerance = {torch.float32: 1e-5, torch.float16: 2e-3}[dtype]
    for kernel, operator in ((triton_reductions.logsumexp, row_logsumexp), (triton_reductions.softplus, row_softplus)):
        found, listed = kernel(query, key, mask, positives, 30)
        expected, expected_listed = operator(query.float(), key.float(), mask, positives, 30)
        possible = expected > -1e4
        torch.testing.assert_close(found.float()[possible], expected[possible], rtol=tolerance, atol=tolerance)
        assert (found.float()[~possible] < -1e4).all()
        torch.testing.assert_close(listed.float(), expected_listed, rtol=10 * tolerance, atol=10 * tolerance)
