"""`hf-globalpointer evaluate`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ..data import read_examples
from .common import check_labels, evaluate_examples, load_pipeline, metrics_table


def evaluate(
    model: Annotated[str, typer.Option(help="Checkpoint folder or Hub id.")],
    data: Annotated[Path, typer.Option(help="Labelled texts (JSON Lines).")],
    batch_size: Annotated[int, typer.Option(min=1, help="Inputs in a batch: texts, or windows of long ones.")] = 32,
) -> None:
    """Print strict precision, recall and F1 of a model on labelled texts."""
    examples = list(read_examples(data))
    pipe = load_pipeline(model)
    check_labels(examples, pipe.model.config.label2id, "the model's labels")
    metrics = evaluate_examples(pipe, examples, batch_size)
    Console().print(metrics_table(metrics, str(data)))
