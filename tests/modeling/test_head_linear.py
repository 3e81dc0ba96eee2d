from typing import Any

import pytest
import torch

from conftest import MODELS, make_model
from hf_globalpointer.modeling import head_linear
from hf_globalpointer.modeling.head_linear import Float32Linear, half_product, half_product_backward, product_dtype


HALF = [torch.bfloat16, torch.float16]


def relative_error(result: torch.Tensor, exact: torch.Tensor) -> float:
    return float((result.double() - exact).norm() / exact.norm())


def draw(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("dtype", HALF)
def test_products_of_rounded_numbers_are_summed_in_float32(dtype: torch.dtype) -> None:
    input, weight = draw(50, 384), draw(30, 384, seed=1)
    exact = input.to(dtype).double() @ weight.to(dtype).double().t()
    product = half_product(input, weight, dtype)
    assert product.dtype == torch.float32
    # A sum in half precision, or one that is rounded to it, is off by 1e-3 and more.
    assert relative_error(product, exact) < 1e-6


@pytest.mark.parametrize("dtype", HALF)
def test_gradients_are_those_of_the_rounded_numbers(dtype: torch.dtype) -> None:
    input, weight, grad = draw(50, 384), draw(30, 384, seed=1), draw(50, 30, seed=2)
    leaves = [part.clone().requires_grad_() for part in (input, weight)]
    half_product(*leaves, dtype).backward(grad)
    rounded = [part.to(dtype).double() for part in (grad, input, weight)]
    for leaf, exact in zip(leaves, (rounded[0] @ rounded[2], rounded[0].t() @ rounded[1]), strict=True):
        assert leaf.grad.dtype == torch.float32
        assert relative_error(leaf.grad, exact) < 1e-6


@pytest.mark.parametrize("dtype", HALF)
def test_operators_are_well_formed(dtype: torch.dtype) -> None:
    for parts in ([draw(5, 8), draw(3, 8)], [draw(5, 8).to(dtype), draw(3, 8).to(dtype)]):
        leaves = [part.requires_grad_() for part in parts]
        torch.library.opcheck(half_product, (*leaves, dtype))
        torch.library.opcheck(half_product_backward, (draw(5, 3), *(part.detach() for part in parts), dtype))


def test_a_cpu_computes_in_float32() -> None:
    layer = Float32Linear(8, 3)
    expected = torch.nn.functional.linear(draw(5, 8), layer.weight, layer.bias)
    with torch.autocast("cpu", torch.bfloat16):
        assert product_dtype(draw(5, 8), layer.weight) is None
        assert torch.equal(layer(draw(5, 8)), expected)


class OnGpu:
    """What `product_dtype` looks at of a tensor on a GPU."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.device = torch.device("cuda")


@pytest.mark.parametrize(
    ("autocast", "input", "weight", "expected"),
    [
        (torch.bfloat16, torch.float32, torch.float32, torch.bfloat16),
        (torch.float16, torch.float32, torch.float32, torch.float16),
        (None, torch.bfloat16, torch.bfloat16, torch.bfloat16),
        (None, torch.float32, torch.float32, None),
        # Weights kept in float32 on purpose stay so.
        (None, torch.bfloat16, torch.float32, None),
        (None, torch.bfloat16, torch.float16, None),
        (None, torch.float64, torch.float64, None),
    ],
)
def test_a_gpu_multiplies_in_half_precision_where_it_is_asked_for(
    autocast: Any, input: torch.dtype, weight: torch.dtype, expected: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "is_autocast_enabled", lambda device: autocast is not None)
    monkeypatch.setattr(torch, "get_autocast_dtype", lambda device: autocast)
    assert product_dtype(OnGpu(input), OnGpu(weight)) == expected


@pytest.mark.parametrize("kind", MODELS)
def test_a_head_in_half_precision_gives_float32_scores_near_those_of_float32(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    head = make_model(kind).classifier.eval()
    hidden = draw(2, 12, 16)
    exact = head(hidden).dense()
    monkeypatch.setattr(head_linear, "product_dtype", lambda input, weight: torch.bfloat16)
    scores = head(hidden).dense()
    valid = exact.isfinite()
    assert scores.dtype == torch.float32
    assert 0 < relative_error(scores[valid], exact[valid].double()) < 0.02
    scores[valid].sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in head.parameters())
