"""Section 3.3: what one more entity type costs in parameters, and in time and memory from 5 to 500 types.

    make -C benchmarks/paper parameters

Parameters are counted in the modules themselves, at the size of bert-base (v = 768, d = 64). Time and extra peak
memory are those of head and loss, forward and backward, at (batch, n) = (8, 128) with 10 gold spans a text.
"""

from collections.abc import Callable
from typing import Any

import torch
from harness import extra_peak_memory, medians, report

from hf_globalpointer import (
    BertEfficientGlobalPointerConfig,
    BertGlobalPointerConfig,
    EfficientGlobalPointerHead,
    GlobalPointerHead,
)
from hf_globalpointer.modeling.loss_global_pointer import class_imbalance_loss
from hf_globalpointer.modeling.span_labels import spans_from_labels


DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
HIDDEN, SIZE, BATCH, N = 768, 64, 8, 128
TYPES = (5, 50, 500)
# Each with what the paper counts for a type, without biases.
HEADS = {
    "GlobalPointer (eq. 5)": 2 * HIDDEN * SIZE,
    "Efficient GlobalPointer (eq. 6)": 2 * HIDDEN,
    "Efficient GlobalPointer (eq. 7)": 4 * SIZE,
}


def make_head(name: str, types: int) -> torch.nn.Module:
    """A head with so many types."""
    fields: dict[str, Any] = {"hidden_size": HIDDEN, "head_size": SIZE, "labels": [f"type{i}" for i in range(types)]}
    if name == "GlobalPointer (eq. 5)":
        return GlobalPointerHead(BertGlobalPointerConfig(**fields)).to(DEVICE)
    source = "hidden" if "6" in name else "query_key"
    return EfficientGlobalPointerHead(BertEfficientGlobalPointerConfig(**fields, span_representation=source)).to(
        DEVICE
    )


def count(name: str, types: int) -> dict[str, int]:
    """The elements of the weights and of the biases."""
    sizes = {"weights": 0, "biases": 0}
    for parameter in make_head(name, types).parameters():
        sizes["weights" if parameter.dim() > 1 else "biases"] += parameter.numel()
    return sizes


def prepare(name: str, types: int) -> Callable[[], Any]:
    """A function that runs head and loss forward and backward once."""
    torch.manual_seed(0)
    head = make_head(name, types)
    hidden = torch.randn(BATCH, N, HIDDEN, device=DEVICE, requires_grad=True)
    start = torch.randint(0, N - 5, (BATCH, 10))
    labels = torch.stack([torch.randint(0, types, start.shape), start, start + torch.randint(0, 5, start.shape)], -1)
    labels, mask = labels.to(DEVICE), torch.ones(BATCH, N, dtype=torch.long, device=DEVICE)

    def step() -> None:
        scores = head(hidden, mask)
        class_imbalance_loss(scores, spans_from_labels(labels, types, scores.mask)).backward()

    return step


def main() -> None:
    """Count, measure and write the table."""
    rows = []
    for name, formula in HEADS.items():
        small, large = count(name, 5), count(name, 6)
        times = medians({str(types): prepare(name, types) for types in TYPES}, 3)
        row: dict[str, Any] = {
            "head": name,
            "weights a type": large["weights"] - small["weights"],
            "by the paper's formula": formula,
            "biases a type": large["biases"] - small["biases"],
        }
        row |= {f"weights, {types} types": f"{count(name, types)['weights']:,}" for types in TYPES}
        row |= {f"step, {types} types": f"{times[str(types)] * 1e3:.1f} ms" for types in TYPES}
        row |= {
            f"memory, {types} types": f"{extra_peak_memory(prepare, name, types) / 2**20:.0f} MiB" for types in TYPES
        }
        rows.append(row)
    report(__file__, f"Parameters of the heads: hidden size {HIDDEN}, head size {SIZE}", rows)


if __name__ == "__main__":
    main()
