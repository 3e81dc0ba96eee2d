"""The Triton kernels on an NVIDIA GPU: whether they are right, whether the host waits, then how fast they are.

    PYTHONPATH=benchmarks python benchmarks/gpu/reductions.py

First the loss and its gradients against the dense definition in float64, for both heads, with and without a longest
span; then a step in which PyTorch makes every wait of the host for the GPU an error; then a CUDA graph takes the step
in. It ends with an error where one of these fails. Then head and loss, forward and backward, from hidden states
[batch, n, 384]: with the kernels, with the kernels from a CUDA graph, with the operators' own code, by the textbook,
and, where each type has a head of its own, with PyTorch's FlexAttention for the sums over all spans, whose values go
unused: what a loss would cost that was made of it. Beside them the floor: what the multiplications take at the rate
that a large product in float32 has on this GPU. Needs the extra `triton`.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from harness import medians, report
from head import prepare
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from hf_globalpointer import BertGlobalPointerConfig, GlobalPointerHead, SpanScores, use_triton_kernels
from hf_globalpointer.modeling.loss_global_pointer import binary_cross_entropy_loss, class_imbalance_loss
from hf_globalpointer.modeling.per_type_reductions import row_logsumexp, row_reduction_backward, row_softplus
from hf_globalpointer.modeling.shared_reductions import shared_row_logsumexp, shared_row_logsumexp_backward


OPERATORS = (
    row_logsumexp,
    row_softplus,
    row_reduction_backward,
    shared_row_logsumexp,
    shared_row_logsumexp_backward,
)
SHAPES = [("full", (8, 512, 66)), ("full", (8, 512, 10)), ("full", (32, 128, 10))]
SHAPES += [("efficient", (8, 512, 66)), ("efficient", (32, 128, 10)), ("efficient", (8, 512, 1000))]
# Of more types, the textbook's scores do not fit.
_TEXTBOOK_TYPES = 66


def largest_error(n: int, longest: int | None, loss: Any, shared: bool) -> float:
    """Of loss and gradients in float32 on the GPU against float64 on the CPU, by norm."""
    generator = torch.Generator().manual_seed(n)
    factors = [torch.randn(2, 1 if shared else 3, n, 64, generator=generator) / 3 for _ in range(2)]
    factors += [torch.randn(2, 3, n, generator=generator) for _ in range(2 if shared else 0)]
    mask = torch.rand(2, 2, n, generator=generator) > 0.1
    positives = torch.tensor([[[0, 0, 0], [1, 3, 4], [2, n - 2, n - 1]]] * 2)
    mask[:, :, [0, 3, 4, n - 2, n - 1]] = True
    results = []
    for device, dtype in (("cuda", torch.float32), ("cpu", torch.float64)):
        parts = [part.to(device, dtype).requires_grad_() for part in factors]
        scores = SpanScores(*parts, *(() if shared else (None, None)), mask.to(device), longest)
        value = loss(scores, positives.to(device)) if device == "cuda" else dense_loss(scores, positives, loss)
        results.append([value, *torch.autograd.grad(value, parts)])
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


def check_errors() -> None:
    """End where an error is more than rounding."""
    kinds = [(class_imbalance_loss, False), (class_imbalance_loss, True), (binary_cross_entropy_loss, False)]
    for n in (5, 64, 65, 300):
        for longest in (None, 5, 70):
            for loss, shared in kinds:
                error = largest_error(n, longest, loss, shared)
                head = "efficient" if shared else "full"
                print(f"{head}, n = {n}, at most {longest} tokens, {loss.__name__}: error {error:.1e}")
                if not error < 1e-4:
                    raise SystemExit("The kernels are wrong here.")


def check_waits(run: Callable[[], Any]) -> None:
    """End with an error where the host waits for the GPU."""
    run()  # compiles
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        run()
    finally:
        torch.cuda.set_sync_debug_mode("default")


def captured(run: Callable[[], Any]) -> Callable[[], Any]:
    """A step from a CUDA graph."""
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            run()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        run()
    return graph.replay


def without_kernels(run: Callable[[], Any]) -> Callable[[], Any]:
    """The same step by the operators' own code."""

    def plain() -> None:
        with ExitStack() as stack:
            for operator in OPERATORS:
                stack.enter_context(operator.set_kernel_enabled("cuda", enabled=False))
            run()

    return plain


def with_flex_attention(batch: int, n: int, types: int) -> Callable[[], Any]:
    """The log of the sum of e^score over all spans of each row, by FlexAttention, forward and backward."""
    torch.manual_seed(0)
    config = BertGlobalPointerConfig(hidden_size=384, labels=[f"type{i}" for i in range(types)], head_dropout=0.0)
    head = GlobalPointerHead(config).cuda()
    hidden = torch.randn(batch, n, 384, device="cuda", requires_grad=True)
    mask = create_block_mask(is_span, None, None, n, n, device="cuda")
    attention = torch.compile(flex_attention)

    def step() -> None:
        scores = head(hidden)
        _, rows = attention(scores.query, scores.key, scores.key, block_mask=mask, scale=1.0, return_lse=True)
        rows.logsumexp(-1).mean().backward()

    return step


def is_span(sample: Any, head: Any, start: Any, end: Any) -> Any:
    """Whether a pair of tokens is a span."""
    return start <= end


def floor(kind: str, batch: int, n: int, types: int) -> float:
    """Seconds that the multiplications of a step take at the rate of a large product in float32.

    Forward once, backward twice: projections of hidden states, and products of queries and keys over the upper half.
    """
    spans = batch * n * (n + 1) / 2
    if kind == "full":
        projection, products = batch * n * 384 * 128 * types, spans * types * 64
    else:
        # Start and end scores come from query and key; each e^score meets the e^end of every type.
        projection, products = batch * n * 128 * (384 + 2 * types), spans * (64 + types)
    left, right = torch.randn(2, 4096, 4096, device="cuda")
    rate = 2 * 4096**3 / medians({"product": lambda: left @ right}, 9)["product"]
    return 3 * 2 * (projection + products) / rate


def measure(kind: str, shape: tuple[int, int, int]) -> dict[str, Any]:
    """The times of one head and shape."""
    ours = prepare("ours", kind, *shape)
    check_waits(ours)
    candidates = {"kernels": ours, "from a graph": captured(ours), "operators": without_kernels(ours)}
    if shape[2] <= _TEXTBOOK_TYPES:
        candidates["textbook"] = prepare("textbook", kind, *shape)
    if kind == "full":
        candidates["FlexAttention"] = with_flex_attention(*shape)
    times = medians(candidates, 9)
    row = {"head": kind, "(batch, n, types)": str(shape)}
    row |= {name: f"{seconds * 1e3:.2f} ms" for name, seconds in times.items()}
    row |= {f"{name} / kernels": times[name] / times["kernels"] for name in times if name != "kernels"}
    return row | {"kernels / floor": times["kernels"] / floor(kind, *shape)}


def main() -> None:
    """Check, measure, write the table."""
    if not torch.cuda.is_available():
        raise SystemExit("The kernels are for NVIDIA GPUs, and there is none.")
    use_triton_kernels()
    check_errors()
    rows = [measure(kind, shape) for kind, shape in SHAPES]
    report(__file__, "Head and loss with Triton kernels, forward and backward", rows)


if __name__ == "__main__":
    main()
