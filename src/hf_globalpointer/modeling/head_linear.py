"""The linear layer of the heads, whose output is float32 whatever computes it."""

from typing import Any

import torch
from torch import Tensor, nn

from .span_blocks import NAMESPACE


_HALF = (torch.bfloat16, torch.float16)


class Float32Linear(nn.Linear):
    """A linear layer with an output in float32, or wider, whatever the dtype of its weights, its input or autocast.

    It computes in float32. But on a GPU, under autocast to half precision or with weights and input in it, it
    multiplies in half precision, and sums in float32; so weights and input in half precision lose nothing.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Map `(..., in_features)` to float32 `(..., out_features)`."""
        dtype = torch.promote_types(input.dtype, torch.float32)
        half = product_dtype(input, self.weight)
        with torch.autocast(input.device.type, enabled=False):
            if half is None:
                return nn.functional.linear(input.to(dtype), self.weight.to(dtype), self.bias.to(dtype))
            product: Tensor = half_product(input.flatten(0, -2), self.weight, half)
            return product.view(*input.shape[:-1], -1) + self.bias.to(dtype)


def product_dtype(input: Tensor, weight: Tensor) -> torch.dtype | None:
    """The half precision in which a linear layer multiplies, or none for float32, as always on a CPU.

    There, sums of bfloat16 products that are not rounded to bfloat16 again are no faster than float32.
    """
    device = input.device.type
    if device != "cuda":
        return None
    if torch.is_autocast_enabled(device):
        dtype = torch.get_autocast_dtype(device)
    else:
        dtype = torch.promote_types(input.dtype, weight.dtype)
    return dtype if dtype in _HALF else None


@torch.library.custom_op(f"{NAMESPACE}::half_product", mutates_args=())
def half_product(input: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
    """Multiply matrices that are rounded to half precision, and sum in float32.

    Args:
        input (`torch.FloatTensor` of shape `(N, in_features)`): Rows.
        weight (`torch.FloatTensor` of shape `(out_features, in_features)`): Weights of a linear layer.
        dtype (`torch.dtype`): The half precision.

    Returns:
        Float32 `(N, out_features)`: input @ weight^T.
    """
    return _product(input.to(dtype), weight.to(dtype).t())


@half_product.register_fake
def _(input: Tensor, weight: Tensor, dtype: torch.dtype) -> Tensor:
    return input.new_empty((input.shape[0], weight.shape[0]), dtype=torch.float32)


@torch.library.custom_op(f"{NAMESPACE}::half_product_backward", mutates_args=())
def half_product_backward(grad: Tensor, input: Tensor, weight: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Gradients of `half_product`, whose products are in the same half precision and summed in float32."""
    half = grad.to(dtype)
    grad_input = _product(half, weight.to(dtype)).to(input.dtype)
    return grad_input, _product(half.t(), input.to(dtype)).to(weight.dtype)


@half_product_backward.register_fake
def _(grad: Tensor, input: Tensor, weight: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    return input.new_empty(input.shape), weight.new_empty(weight.shape)


def _product(left: Tensor, right: Tensor) -> Tensor:
    """The float32 product of two matrices in half precision."""
    if left.device.type == "cuda":
        return torch.mm(left, right, out_dtype=torch.float32)
    # The same, as the product of two numbers in half precision is exact in float32.
    return left.float() @ right.float()


def _save_for_backward(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    input, weight, ctx.dtype = inputs
    ctx.save_for_backward(input, weight)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:
    return *half_product_backward(grad, *ctx.saved_tensors, ctx.dtype), None


half_product.register_autograd(_backward, setup_context=_save_for_backward)
