"""That head and loss never wait for a GPU, shown without one.

Tensors on the device "meta" have shapes and no values: whatever would have to look at a value, for which the host
would wait, raises an error.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
import torch

from conftest import MODELS, make_model
from hf_globalpointer.modeling import span_scores, triton_reductions
from hf_globalpointer.modeling.loss_global_pointer import LOSSES
from hf_globalpointer.modeling.span_labels import spans_from_labels


@pytest.fixture(autouse=True)
def no_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which the device "meta" does not know, even to turn it off."""
    monkeypatch.setattr(torch, "autocast", lambda device_type, enabled: nullcontext())


def step(kind: str, span_loss: str, max_span_length: int | None) -> None:
    """Head and loss, forward and backward, on tensors without values."""
    head = make_model(kind, head_dropout=0.1).classifier.train().to("meta")
    hidden = torch.empty(2, 70, 16, device="meta", requires_grad=True)
    attention_mask = torch.empty(2, 70, dtype=torch.long, device="meta")
    labels = torch.empty(2, 5, 3, dtype=torch.long, device="meta")
    scores = head(hidden, attention_mask, attention_mask, max_span_length)
    positives = spans_from_labels(labels, scores.num_labels, scores.mask, max_span_length)
    LOSSES[span_loss](scores, positives).backward()
    assert hidden.grad is not None
    assert hidden.grad.shape == hidden.shape


@pytest.mark.parametrize("max_span_length", [None, 8])
@pytest.mark.parametrize("span_loss", LOSSES)
@pytest.mark.parametrize("kind", MODELS)
def test_the_step_does_not_look_at_values(kind: str, span_loss: str, max_span_length: int | None) -> None:
    step(kind, span_loss, max_span_length)


@pytest.mark.parametrize("max_span_length", [None, 8])
def test_neither_do_the_kernels(max_span_length: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[str] = []

    class Launcher:
        """In the place of a kernel: takes its arguments, and runs nothing."""

        def __init__(self, name: str) -> None:
            self.name = name

        def __getitem__(self, grid: tuple[int]) -> Callable[..., None]:
            return lambda *inputs, **options: launched.append(self.name)

    class Sums(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, *inputs: Any) -> Any:
            *tensors, ctx.longest = inputs
            name = "shared_logsumexp" if len(tensors) == 6 else "logsumexp"
            total, listed, *saved = getattr(triton_reductions, name)(*inputs)
            ctx.save_for_backward(total, *saved, *tensors)
            return total, listed

        @staticmethod
        def backward(ctx: Any, *grads: Any) -> Any:
            name = "shared_backward" if len(ctx.saved_tensors) == 10 else "backward"
            return *getattr(triton_reductions, name)(*grads, *ctx.saved_tensors, ctx.longest), None, None, None

    for name in ("_row_sums", "_gradients"):
        monkeypatch.setattr(triton_reductions, name, Launcher(name))
    for name in ("row_logsumexp", "shared_row_logsumexp"):
        monkeypatch.setattr(span_scores, name, Sums.apply)
    for kind in MODELS:
        step(kind, "class_imbalance", max_span_length)
    assert launched == ["_row_sums", "_gradients", "_gradients"] * 2


def test_the_operators_own_code_does() -> None:
    """Which is why they have kernels."""
    query = torch.empty(2, 3, 70, 8, device="meta")
    mask = torch.empty(2, 2, 70, dtype=torch.bool, device="meta")
    positives = torch.empty(2, 5, 3, dtype=torch.long, device="meta")
    with pytest.raises(RuntimeError, match=r"[Mm]eta"):
        span_scores.row_logsumexp._init_fn(query, query, mask, positives, None)
