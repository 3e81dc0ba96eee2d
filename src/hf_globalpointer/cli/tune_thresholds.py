"""`hf-globalpointer tune-thresholds`."""

import json
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..data import read_examples
from ..data.examples import check_labels
from .common import InputError, Overlap, atomic_file, load_pipeline, messages, say
from .inputs import readable_file


if TYPE_CHECKING:
    from ..evaluation.metrics import SpanMetrics
    from ..evaluation.threshold_curves import Curve

_NOTE = (
    "The thresholds in config.json were chosen later, with `hf-globalpointer tune-thresholds`; the scores above were "
    "measured with those before them."
)


class Objective(StrEnum):
    """What is to be highest."""

    micro = "micro"
    label = "label"


@dataclass(frozen=True)
class ThresholdResult:
    """Thresholds, and the metrics they give."""

    thresholds: dict[str, float]
    metrics: "SpanMetrics"

    def score(self, objective: Objective) -> float:
        """What is to be highest: micro-F1, or the mean of the labels' F1."""
        return self.metrics.micro.f1 if objective == Objective.micro else self.metrics.macro["f1"]

    def to_dict(self) -> dict[str, dict[str, float]]:
        """Both, with flat metrics."""
        return {"thresholds": self.thresholds, "metrics": self.metrics.to_dict()}

    def rows(self) -> list[list[str]]:
        """The cells of a table: of each type, then micro, then macro."""
        types = [(label, f"{self.thresholds[label]:.4f}", c.to_dict()) for label, c in self.metrics.per_label.items()]
        rows = [*types, ("micro", "", self.metrics.micro.to_dict()), ("macro", "", self.metrics.macro)]
        return [[name, cell, *(f"{value:.4f}" for value in ratios.values())] for name, cell, ratios in rows]


def tune_thresholds(
    model: Annotated[Path, typer.Option(help="Checkpoint folder; the thresholds are written into its config.json.")],
    data: Annotated[
        Path, typer.Option(help="Labeled texts to choose the thresholds on: never test data.", callback=readable_file)
    ],
    objective: Annotated[
        Objective, typer.Option(help="What is to be highest: micro-F1, or the F1 of each label, and so macro-F1.")
    ] = Objective.micro,
    output: Annotated[
        Path | None, typer.Option(help="Folder for thresholds.json and curve.json; the checkpoint's by default.")
    ] = None,
    plot: Annotated[
        bool, typer.Option("--plot", help="Draw the precision-recall curves too: curve.png. Needs matplotlib.")
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Inputs in a batch: texts, or windows of long ones.")] = 32,
) -> None:
    """Find the threshold of each label that gives the best F1 on development data, and write it into the checkpoint.

    Never give it test data: on data that thresholds were chosen on, scores come out too high.
    """
    if plot and find_spec("matplotlib") is None:
        raise InputError("--plot needs matplotlib: pip install 'hf-globalpointer[plot]'")
    if not model.is_dir():
        raise InputError(
            f"{model} is no folder, and the thresholds are written into one; download a model from the Hub first: "
            f"hf download {model} --local-dir FOLDER"
        )
    examples = list(read_examples(data))

    # These take seconds to import.
    from ..evaluation.pipeline_metrics import evaluate_examples
    from ..evaluation.threshold_curves import plot_curves, precision_recall_curve
    from ..evaluation.thresholds import FLOOR, best_thresholds, collect_candidates
    from ..training.run_folder import check_output_folder

    pipe = load_pipeline(str(model))
    check_labels(examples, pipe.labels, "the model's labels")
    folder = output or model
    for each in (model, folder):
        check_output_folder(each, resume=True)

    with messages.status(f"Looking for all spans of a probability above {FLOOR} ..."):
        candidates = collect_candidates(pipe, examples, batch_size)
    thresholds = best_thresholds(candidates, objective.value)
    before = ThresholdResult(candidates.thresholds, evaluate_examples(pipe, examples, batch_size))
    pipe.model.config.thresholds = thresholds
    after = ThresholdResult(thresholds, evaluate_examples(pipe, examples, batch_size))
    expected = candidates.metrics(thresholds)
    if pipe.model.config.overlap == Overlap.all and after.metrics != expected:
        raise InputError(
            f"nothing was written: with the thresholds found, the model has a micro-F1 of {after.metrics.micro.f1:.4f}"
            f", not {expected.micro.f1:.4f}, as follows from its candidates; does a text have more than the "
            f"{pipe.model.config.max_spans} spans that `max_spans` in config.json allows?"
        )
    if after.score(objective) < before.score(objective):
        say(
            f"Nothing was written: F1 is {before.score(objective):.4f} with the present thresholds and "
            f"{after.score(objective):.4f} with those found. The search takes labels one by one, and by the overlap "
            f"rule {pipe.model.config.overlap!r} an entity of one label can suppress one of another."
        )
        return

    results = {"data": str(data), "objective": objective.value, "before": before.to_dict(), "after": after.to_dict()}
    _write_json(folder / "thresholds.json", results, indent=2)
    curves = {label: _arrays(precision_recall_curve(candidates, label)) for label in thresholds}
    _write_json(folder / "curve.json", {"labels": curves, "micro": _arrays(precision_recall_curve(candidates))})
    if plot:
        plot_curves(candidates, thresholds, folder / "curve.png")
    config = (model / "config.json").read_text(encoding="utf-8")
    content = json.loads(config) | {"thresholds": thresholds}
    _write_json(model / "config.json", content, indent=2, ensure_ascii=config.isascii())
    _note_in_card(model / "README.md")
    Console().print(_table(str(data), before, after))
    if absent := [label for label, counts in after.metrics.per_label.items() if not counts.gold]:
        say(f"No entities of {', '.join(absent)} are in {data}: their thresholds stay as they were.")
    say(f"{model / 'config.json'} has the thresholds, {folder} the figures.")


def _note_in_card(card: Path) -> None:
    """Say in the model card, if there is one, that its scores are of other thresholds."""
    if card.exists() and _NOTE not in (content := card.read_text(encoding="utf-8")):
        with atomic_file(card) as file:
            file.write(f"{content.rstrip()}\n\n{_NOTE}\n")


def _write_json(path: Path, content: object, indent: int | None = None, ensure_ascii: bool = True) -> None:
    with atomic_file(path) as file:
        file.write(json.dumps(content, indent=indent, ensure_ascii=ensure_ascii) + "\n")


def _arrays(curve: "Curve") -> dict[str, list[float]]:
    return {name: values.tolist() for name, values in curve._asdict().items()}


def _table(title: str, before: ThresholdResult, after: ThresholdResult) -> Table:
    """Threshold, precision, recall and F1 of every type, micro and macro, before and after."""
    table = Table(title=Text(title))
    table.add_column("type")
    table.add_column("")
    for name in ("threshold", "precision", "recall", "F1"):
        table.add_column(name, justify="right")
    for (label, *first), (_, *second) in zip(before.rows(), after.rows(), strict=True):
        # As `Text`, so that brackets in a label are no markup.
        table.add_row(Text(label), "before", *first)
        table.add_row("", "after", *second, end_section=True)
    return table
