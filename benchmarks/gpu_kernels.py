"""The Triton kernels on an NVIDIA GPU: whether they are right, then how fast they are.

    python benchmarks/gpu_kernels.py

First the loss and its gradients against the dense definition in float64, with and without a longest span; it ends with
an error where they differ. Then head and loss, forward and backward, from hidden states [batch, n, 384]: with the
kernels, with the operators' own code, and by the textbook. Needs the extra `triton`.
"""

from contextlib import ExitStack
from typing import Any

import torch
from harness import medians, report
from head import prepare

from hf_globalpointer import SpanScores, use_triton_kernels
from hf_globalpointer.modeling.loss_global_pointer import binary_cross_entropy_loss, class_imbalance_loss
from hf_globalpointer.modeling.per_type_reductions import row_logsumexp, row_reduction_backward, row_softplus


OPERATORS = row_logsumexp, row_softplus, row_reduction_backward
SHAPES = [(8, 512, 66), (8, 512, 10), (32, 128, 10)]


def largest_error(n: int, longest: int | None, loss: Any) -> float:
    """Of loss and gradients in float32 on the GPU against float64 on the CPU, by norm."""
    generator = torch.Generator().manual_seed(n)
    factors = [torch.randn(2, 3, n, 64, generator=generator) / 3 for _ in range(2)]
    mask = torch.rand(2, 2, n, generator=generator) > 0.1
    positives = torch.tensor([[[0, 0, 0], [1, 3, 4], [2, n - 2, n - 1]]] * 2)
    mask[:, :, [0, 3, 4, n - 2, n - 1]] = True
    results = []
    for device, dtype in (("cuda", torch.float32), ("cpu", torch.float64)):
        query, key = (part.to(device, dtype).requires_grad_() for part in factors)
        scores = SpanScores(query, key, None, None, mask.to(device), longest)
        value = loss(scores, positives.to(device)) if device == "cuda" else dense_loss(scores, positives, loss)
        results.append([value, *torch.autograd.grad(value, (query, key))])
    pairs = [(ours.detach().double().cpu(), exact.detach()) for ours, exact in zip(*results, strict=True)]
    return max(float((ours - exact).norm() / exact.norm()) for ours, exact in pairs)


def dense_loss(scores: SpanScores, positives: torch.Tensor, loss: Any) -> torch.Tensor:
    """The same loss by its definition, over the tensor of all scores."""
    dense = scores.dense()
    positive = torch.zeros_like(dense, dtype=torch.bool)
    positive[(torch.arange(len(positives))[:, None], *positives.unbind(-1))] = True
    negative = dense.masked_fill(positive, -torch.inf).flatten(2)
    wanted = (-dense).masked_fill(~positive, -torch.inf).flatten(2)
    if loss is binary_cross_entropy_loss:
        terms = torch.nn.functional.softplus(negative) + torch.nn.functional.softplus(wanted)
        return (terms.sum(-1) / dense.isfinite().flatten(2).sum(-1)).mean()
    zero = dense.new_zeros((*dense.shape[:2], 1))
    return (torch.cat([negative, zero], -1).logsumexp(-1) + torch.cat([wanted, zero], -1).logsumexp(-1)).mean()


def check() -> None:
    """End where an error is more than rounding."""
    for n in (5, 64, 65, 300):
        for longest in (None, 5, 70):
            for loss in (class_imbalance_loss, binary_cross_entropy_loss):
                error = largest_error(n, longest, loss)
                print(f"n = {n}, at most {longest} tokens, {loss.__name__}: error {error:.1e}")
                if not error < 1e-4:
                    raise SystemExit("The kernels are wrong here.")


def main() -> None:
    """Check, measure, write the table."""
    if not torch.cuda.is_available():
        raise SystemExit("The kernels are for NVIDIA GPUs, and there is none.")
    use_triton_kernels()
    check()
    rows: list[dict[str, Any]] = []
    for shape in SHAPES:
        ours, textbook = prepare("ours", "full", *shape), prepare("textbook", "full", *shape)

        def without_kernels(run: Any = ours) -> None:
            with ExitStack() as stack:
                for operator in OPERATORS:
                    stack.enter_context(operator.set_kernel_enabled("cuda", enabled=False))
                run()

        times = medians({"kernels": ours, "operators": without_kernels, "textbook": textbook}, 9)
        rows.append(
            {
                "(batch, n, types)": str(shape),
                **{name: f"{seconds * 1e3:.2f} ms" for name, seconds in times.items()},
                "textbook / kernels": times["textbook"] / times["kernels"],
                "operators / kernels": times["operators"] / times["kernels"],
            }
        )
    report(__file__, "GlobalPointer's own heads with Triton kernels, forward and backward", rows)


if __name__ == "__main__":
    main()
