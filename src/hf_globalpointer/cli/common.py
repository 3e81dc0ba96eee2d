"""What the commands share: reading input, running the pipeline with a progress bar, tables, whole files."""

import os
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from rich.console import Console
from rich.progress import track
from rich.table import Table
from transformers import pipeline

from ..data import Example
from ..metrics import SpanCounts, SpanMetrics, score_predictions
from ..modeling.pipeline_global_pointer_ner import GlobalPointerNerPipeline
from ..modeling.span_decoding import PredictedEntity
from ..registration import TASK


messages = Console(stderr=True)


class InputError(Exception):
    """Something on the command line that cannot be used; the message says what and what to do."""


@contextmanager
def loading(what: str) -> Iterator[None]:
    """Turn the errors of `from_pretrained` into one sentence."""
    try:
        yield
    except (OSError, ValueError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"cannot load {what}: {reason}") from error


def load_pipeline(model: str) -> GlobalPointerNerPipeline:
    """The pipeline of a checkpoint folder or Hub id.

    Raises:
        InputError: If there is none, or it is not a GlobalPointer checkpoint.
    """
    folder = Path(model)
    if folder.is_dir() and not (folder / "config.json").is_file():
        raise InputError(f"cannot load the model {model}: the folder holds no config.json; is it a checkpoint?")
    with loading(f"the model {model}"):
        pipe: GlobalPointerNerPipeline = pipeline(TASK, model=model)
    return pipe


def recognise(
    pipe: GlobalPointerNerPipeline,
    examples: Iterable[Example],
    batch_size: int,
    total: int | None = None,
    threshold: float | None = None,
) -> Iterator[tuple[Example, list[PredictedEntity]]]:
    """Yield each example with its predicted entities, in order, as they come, under a progress bar."""
    waiting: deque[Example] = deque()

    def texts() -> Iterator[str]:
        for example in examples:
            waiting.append(example)
            yield example.text

    results = pipe(texts(), batch_size=batch_size, threshold=threshold)
    for entities in track(results, "Recognising", total=total, console=messages):
        yield waiting.popleft(), entities


def evaluate_examples(pipe: GlobalPointerNerPipeline, examples: list[Example], batch_size: int) -> SpanMetrics:
    """Strict metrics of a pipeline on labelled texts, in characters: what tokens cannot express counts as missed."""
    predictions = [entities for _, entities in recognise(pipe, examples, batch_size, total=len(examples))]
    return score_predictions(examples, predictions, labels=pipe.model.config.label2id)


def metrics_table(metrics: SpanMetrics, title: str) -> Table:
    """Precision, recall and F1 of every type, micro and macro."""
    table = Table(title=title)
    table.add_column("type")
    for name in ("precision", "recall", "F1", "gold", "predicted", "correct"):
        table.add_column(name, justify="right")

    def add(name: str, counts: SpanCounts, last: bool) -> None:
        ratios = (f"{value:.4f}" for value in counts.to_dict().values())
        table.add_row(name, *ratios, *map(str, (counts.gold, counts.predicted, counts.correct)), end_section=last)

    types = list(metrics.per_type.items())
    for index, (label, counts) in enumerate(types, start=1):
        add(label, counts, last=index == len(types))
    add("micro", metrics.micro, last=False)
    table.add_row("macro", *(f"{value:.4f}" for value in metrics.macro.values()))
    return table


@contextmanager
def whole_file(path: Path) -> Iterator[IO[str]]:
    """Write `path` under the name `path.partial`, and give it its own name only once it is whole."""
    partial = path.with_name(f"{path.name}.partial")
    try:
        file = partial.open("w", encoding="utf-8")
    except OSError as error:
        raise InputError(f"cannot write {path}: {error.strerror}.") from error
    with file:
        yield file
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
