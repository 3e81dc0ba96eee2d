"""Head and loss, forward and backward, against the textbook: time and extra peak memory.

    python benchmarks/head.py [--quick]

From hidden states [batch, n, 384] through the head (d = 64, no dropout) and class-imbalance loss to their gradients.
Last, with spans of at most 32 tokens against spans of any length.
"""

import argparse
from collections.abc import Callable
from typing import Any

import textbook
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


HEADS = {
    "efficient": (BertEfficientGlobalPointerConfig, EfficientGlobalPointerHead),
    "full": (BertGlobalPointerConfig, GlobalPointerHead),
}
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def prepare(variant: str, kind: str, batch: int, n: int, types: int, longest: int | None = None) -> Callable[[], Any]:
    """A function that runs forward and backward once, with 20 gold spans a sample and texts of half to full length."""
    torch.manual_seed(0)
    config_class, head_class = HEADS[kind]
    head = head_class(config_class(hidden_size=384, labels=[f"type{i}" for i in range(types)], head_dropout=0.0)).to(
        DEVICE
    )
    hidden = torch.randn(batch, n, 384, device=DEVICE, requires_grad=True)
    lengths = torch.randint(n // 2, n + 1, (batch,))
    lengths[0] = n
    mask = (torch.arange(n) < lengths[:, None]).to(DEVICE)
    first = (torch.rand(batch, 20) * (lengths[:, None] - 5)).long()
    types_of = torch.randint(0, types, (batch, 20))
    labels = torch.stack([types_of, first, first + torch.randint(0, 5, (batch, 20))], dim=-1).to(DEVICE)

    if variant == "ours":

        def loss() -> torch.Tensor:
            scores = head(hidden, mask, max_span_length=longest)
            return class_imbalance_loss(scores, spans_from_labels(labels, types, scores.mask, longest))

    else:
        dense = torch.zeros(batch, types, n, n, device=DEVICE)
        dense[(torch.arange(batch, device=DEVICE)[:, None], *labels.unbind(-1))] = 1

        def loss() -> torch.Tensor:
            return textbook.loss(head(hidden, mask), dense)

    return lambda: loss().backward()


def main() -> None:
    """Measure and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer repeats")
    repeats = 3 if parser.parse_args().quick else 9
    rows: list[dict[str, Any]] = []
    for kind, shape in [
        ("efficient", (8, 512, 66)),
        ("efficient", (8, 512, 10)),
        ("efficient", (32, 128, 10)),
        ("full", (8, 512, 10)),
        ("full", (32, 128, 10)),
    ]:
        few = 3 if shape[2] > 10 else repeats
        times = medians({v: prepare(v, kind, *shape) for v in ("ours", "textbook")}, few)
        rows.append(
            {
                "measure": f"{kind}, time",
                "(batch, n, types)": str(shape),
                "ours": f"{times['ours'] * 1e3:.1f} ms",
                "other": f"{times['textbook'] * 1e3:.1f} ms (textbook)",
                "ratio": times["textbook"] / times["ours"],
            }
        )
    times = medians({str(types): prepare("ours", "efficient", 8, 512, types) for types in (1000, 10)}, repeats)
    rows.append(
        {
            "measure": "efficient, time, 1000 types against 10",
            "(batch, n, types)": "(8, 512, 1000)",
            "ours": f"{times['1000'] * 1e3:.1f} ms",
            "other": f"{times['10'] * 1e3:.1f} ms (10 types)",
            "ratio": times["1000"] / times["10"],
        }
    )
    for kind, shape in [
        ("efficient", (8, 512, 66)),
        ("efficient", (1, 2048, 66)),
        ("efficient", (1, 8192, 66)),
        ("full", (8, 512, 10)),
        ("full", (1, 2048, 10)),
    ]:
        some: dict[str, Callable[[], Any]] = {
            "32": prepare("ours", kind, *shape, 32),
            "any": prepare("ours", kind, *shape),
        }
        times = medians(some, repeats)
        rows.append(
            {
                "measure": f"{kind}, time, spans of at most 32 tokens",
                "(batch, n, types)": str(shape),
                "ours": f"{times['32'] * 1e3:.1f} ms",
                "other": f"{times['any'] * 1e3:.1f} ms (of any length)",
                "ratio": times["any"] / times["32"],
            }
        )
    for kind in HEADS:
        shape = (8, 512, 66)
        memory = {v: extra_peak_memory(prepare, v, kind, *shape) for v in ("ours", "textbook")}
        rows.append(
            {
                "measure": f"{kind}, extra peak memory",
                "(batch, n, types)": str(shape),
                "ours": f"{memory['ours'] / 2**20:.0f} MiB",
                "other": f"{memory['textbook'] / 2**20:.0f} MiB (textbook)",
                "ratio": memory["textbook"] / memory["ours"],
            }
        )
    report(__file__, "Head and loss, forward and backward", rows)


if __name__ == "__main__":
    main()
