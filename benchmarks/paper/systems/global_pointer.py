"""GlobalPointer and Efficient GlobalPointer, through the public API."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from job import Entities, Recognize, do, read_job
from transformers import pipeline

from hf_globalpointer import best_thresholds, collect_candidates, fine_tune, read_examples
from hf_globalpointer.modeling import span_heads


HEADS = {
    "efficient-global-pointer": ("efficient", {}),
    "efficient-global-pointer-eq6": ("efficient", {"span_representation": "hidden"}),
    "global-pointer": ("full", {}),
}
# The paper's setting: no rules of the data, no joined texts, and nothing of capitals that the tokenizer hides.
PLAIN: dict[str, Any] = {
    "joined": 0.0,
    "overlap": "all",
    "config_overrides": {"max_span_length": None, "mark_capitals": False},
}
ABLATIONS: dict[str | None, dict[str, Any]] = {
    "no-rope": {"use_rope": False},
    "bce": {"span_loss": "bce"},
    "head-16": {"head_size": 16},
    "head-32": {"head_size": 32},
    "head-128": {"head_size": 128},
}


@contextmanager
def unscaled() -> Iterator[None]:
    """Scores that are not divided by the square root of the head size."""
    original = span_heads.SpanHead._scores

    def scores(self: Any, query: Any, *arguments: Any) -> Any:
        return original(self, query * self.head_size**0.5, *arguments)

    span_heads.SpanHead._scores = scores
    try:
        yield
    finally:
        span_heads.SpanHead._scores = original


def train(job: dict[str, Any]) -> Recognize:
    """Fine-tune, or go on with it, or read what an earlier run has made."""
    folder = Path(job["model"])
    settings, ablation = job["settings"], job["ablation"]
    if not (folder / "metrics.json").exists():
        head, fields = HEADS[job["system"]]
        options: dict[str, Any] = {"config_overrides": fields}
        if ablation != "as-shipped":
            overrides = PLAIN["config_overrides"] | fields | ABLATIONS.get(ablation, {})
            rates = {name: settings[name] for name in ("encoder_lr", "head_lr", "epochs", "batch_size")}
            options = PLAIN | rates | {"config_overrides": overrides, "word_aligned": ablation == "word-aligned"}
        resume = (folder / "run_settings.json").exists()
        splits = job["train"], job["dev"]
        fine_tune(job["encoder"], *splits, folder, head=head, seed=job["seed"], resume=resume, **options)
    recognize = pipeline("global-pointer-ner", model=str(folder))
    if ablation == "thresholds":
        candidates = collect_candidates(recognize, list(read_examples(job["dev"])))
        recognize.model.config.thresholds = best_thresholds(candidates)

    def predict(texts: Sequence[str]) -> list[Entities]:
        names = {"start": "start", "end": "end", "label": "entity_group"}
        found = recognize(list(texts), batch_size=16)
        return [[{name: entity[field] for name, field in names.items()} for entity in each] for each in found]

    return predict


if __name__ == "__main__":
    job = read_job()
    with unscaled() if job["ablation"] == "unscaled" else nullcontext():
        do(job, train)
