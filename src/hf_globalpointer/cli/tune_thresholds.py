"""`hf-globalpointer tune-thresholds`."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..data import Example, read_examples
from ..data.examples import check_labels
from .common import BatchSize, InputError, Overlap, atomic_file, load_pipeline, messages, recognize, say
from .inputs import readable_file


if TYPE_CHECKING:
    from ..evaluation.metrics import SpanMetrics
    from ..evaluation.threshold_curves import Curve
    from ..evaluation.thresholds import Candidates
    from ..modeling.pipeline_global_pointer_ner import GlobalPointerNerPipeline

_NOTE = (
    "The thresholds and the calibration in config.json were chosen later, with `hf-globalpointer tune-thresholds`; "
    "the scores above were measured with those before them."
)
# What a card says of scores, as it is written and afterwards.
_UNCALIBRATED = "is for ranking and thresholds; it is no calibrated probability."
_CALIBRATED = "is a probability, calibrated on development data; on other texts it may be off."


class Objective(StrEnum):
    """What is to be highest."""

    micro = "micro"
    label = "label"
    keep = "keep"


@dataclass(frozen=True)
class ThresholdResult:
    """Thresholds and calibration, the metrics they give, and how far probabilities are off."""

    thresholds: dict[str, float]
    calibration: dict[str, list[float]] | None
    metrics: "SpanMetrics"
    calibration_error: float

    def to_dict(self) -> dict[str, Any]:
        """All of it, with flat metrics."""
        error = {"expected_calibration_error": self.calibration_error}
        settings = {"thresholds": self.thresholds, "calibration": self.calibration}
        return {**settings, "metrics": self.metrics.to_dict(), **error}


def tune_thresholds(
    model: Annotated[Path, typer.Option(help="Checkpoint folder; the thresholds are written into its config.json.")],
    data: Annotated[
        Path, typer.Option(help="Labeled texts to choose the thresholds on: never test data.", callback=readable_file)
    ],
    objective: Annotated[
        Objective,
        typer.Option(
            help="What is to be highest: micro-F1, or the F1 of each label, and so macro-F1; or keep the thresholds, "
            "and only calibrate."
        ),
    ] = Objective.micro,
    output: Annotated[
        Path | None, typer.Option(help="Folder for thresholds.json and curve.json; the checkpoint's by default.")
    ] = None,
    plot: Annotated[
        bool, typer.Option("--plot", help="Draw the precision-recall curves too: curve.png. Needs matplotlib.")
    ] = False,
    batch_size: BatchSize = 32,
) -> None:
    """Find the threshold of each label that gives the best F1 on development data, and write it into the checkpoint.

    With it goes what makes probabilities mean how often entities are correct. Thresholds change only where those
    chosen on nine tenths of the data are better on the other tenth, in 8 of 10 cases. Never give it test data: on data
    that thresholds were chosen on, scores come out too high.
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
    from ..evaluation.calibration import calibrate, reset_calibration
    from ..evaluation.search_limits import FLOOR
    from ..evaluation.thresholds import FOLDS, Candidates, collect_candidates
    from ..training.run_folder import check_output_folder

    pipe = load_pipeline(str(model))
    check_labels(examples, pipe.labels, "the model's labels")
    folder = output or model
    for each in (model, folder):
        check_output_folder(each, resume=True)

    config = pipe.model.config
    before = _measure(pipe, examples, batch_size)
    reset_calibration(config)
    with messages.status(f"Looking for all spans of a probability above {FLOOR} ..."):
        parts = [collect_candidates(pipe, examples[fold::FOLDS], batch_size) for fold in range(FOLDS)]
    candidates = Candidates.merged(parts)
    present = candidates.thresholds
    thresholds = candidates.thresholds if objective == Objective.keep else _choose(parts, candidates, objective)
    expected = candidates.metrics(thresholds)
    candidates = calibrate(config, candidates, thresholds)
    after = _measure(pipe, examples, batch_size)
    if config.overlap == Overlap.all and after.metrics != expected:
        raise InputError(
            f"nothing was written: with the thresholds found, the model has a micro-F1 of {after.metrics.micro.f1:.4f}"
            f", not {expected.micro.f1:.4f}, as follows from its candidates; does a text have more than the "
            f"{config.max_spans} spans that `max_spans` in config.json allows?"
        )
    if _f1(after.metrics, objective) < _f1(before.metrics, objective):
        say(
            f"Nothing was written: F1 is {_f1(before.metrics, objective):.4f} with the present thresholds and "
            f"{_f1(after.metrics, objective):.4f} with those found. The search takes labels one by one, and by the "
            f"overlap rule {config.overlap!r} an entity of one label can suppress one of another."
        )
        return
    results = {"data": str(data), "objective": objective.value, "before": before.to_dict(), "after": after.to_dict()}
    _write_figures(folder, results, candidates, plot)
    _write_settings(model, {"thresholds": config.thresholds, "calibration": config.calibration})
    _say_results(str(data), (before, present), (after, thresholds))
    names = "thresholds.json, curve.json and curve.png" if plot else "thresholds.json and curve.json"
    say(f"{model / 'config.json'} has thresholds and calibration; {names} in {folder} have the figures.")


def _f1(metrics: "SpanMetrics", objective: Objective) -> float:
    """What is to be highest: micro-F1, or the mean of the labels' F1."""
    return metrics.macro["f1"] if objective == Objective.label else metrics.micro.f1


def _choose(parts: "Sequence[Candidates]", candidates: "Candidates", objective: Objective) -> dict[str, float]:
    """The best thresholds, if such are better on texts that they are not chosen on; else the present ones."""
    from ..evaluation.thresholds import FOLDS, LEAST_BETTER, best_thresholds, held_out_metrics

    aim: Literal["micro", "label"] = "label" if objective == Objective.label else "micro"
    held_out = [_f1(metrics, objective) for metrics in held_out_metrics(parts, aim)]
    present = [_f1(part.metrics(part.thresholds), objective) for part in parts]
    num_better = sum(new > old for new, old in zip(held_out, present, strict=True))
    tried = f"those chosen on nine tenths of the data are better on the other tenth in {num_better} of {FOLDS} cases"
    if num_better < LEAST_BETTER:
        say(
            f"The thresholds stay: {tried}; {LEAST_BETTER} are needed. Probabilities are calibrated, and thresholds "
            "are written as such, so that the same spans are over them."
        )
        return candidates.thresholds
    say(f"Other thresholds pay: {tried}.")
    return best_thresholds(candidates, aim)


def _measure(pipe: "GlobalPointerNerPipeline", examples: list[Example], batch_size: int) -> ThresholdResult:
    """What the pipeline is worth as it is."""
    from ..evaluation.calibration import Reliability
    from ..evaluation.metrics import score_predictions
    from ..evaluation.scored_documents import pair_predictions

    found = recognize(pipe, examples, batch_size, total=len(examples))
    predictions = [entities for _, entities in found]
    return ThresholdResult(
        dict(zip(pipe.labels, pipe.model.label_thresholds(None), strict=True)),
        pipe.model.config.calibration,
        score_predictions(examples, predictions, labels=pipe.labels),
        Reliability.from_documents(pair_predictions(examples, predictions)).error,
    )


def _write_figures(folder: Path, results: dict[str, Any], candidates: "Candidates", plot: bool) -> None:
    """Write what was found, and how precision and recall depend on the thresholds."""
    from ..evaluation.threshold_curves import plot_curves, precision_recall_curve

    _write_json(folder / "thresholds.json", results, indent=2)
    curves = {label: _arrays(precision_recall_curve(candidates, label)) for label in candidates.per_label}
    _write_json(folder / "curve.json", {"labels": curves, "micro": _arrays(precision_recall_curve(candidates))})
    if plot:
        plot_curves(candidates, results["after"]["thresholds"], folder / "curve.png")


def _write_settings(model: Path, settings: dict[str, Any]) -> None:
    """Change fields of the configuration, and note in the card that they were changed."""
    from ..modeling.remote_code import write_code

    written = (model / "config.json").read_text(encoding="utf-8")
    content = json.loads(written) | settings
    _write_json(model / "config.json", content, indent=2, ensure_ascii=written.isascii())
    if "auto_map" in content:
        # The code that came with the checkpoint may know less.
        write_code(model)
    _note_in_card(model / "README.md")


# What the pipeline is worth, and its thresholds without calibration.
_Measured = tuple[ThresholdResult, "Mapping[str, float]"]


def _say_results(data: str, first: _Measured, second: _Measured) -> None:
    before, after = first[0], second[0]
    Console().print(_table(data, first, second))
    say(
        "`threshold` is in probabilities without calibration, so that both can be compared; `written` is what "
        "config.json had and has."
    )
    say(
        "Expected calibration error of the probabilities, on these data: "
        f"{before.calibration_error:.4f} before, {after.calibration_error:.4f} after."
    )
    if absent := [label for label, counts in after.metrics.per_label.items() if not counts.gold]:
        say(f"No entities of {', '.join(absent)} are in {data}: for them, no threshold could be chosen.")
    never = [label for label, counts in after.metrics.per_label.items() if counts.gold and not counts.predicted]
    if never:
        say(f"Nothing is predicted as {', '.join(never)}, by any threshold that pays; train longer, or on more.")


def _note_in_card(card: Path) -> None:
    """Say in the model card, if there is one, that its scores are of other thresholds, and what probabilities are."""
    if card.exists() and _NOTE not in (content := card.read_text(encoding="utf-8")):
        content = content.replace(_UNCALIBRATED, _CALIBRATED)
        with atomic_file(card) as file:
            file.write(f"{content.rstrip()}\n\n{_NOTE}\n")


def _write_json(path: Path, content: object, indent: int | None = None, ensure_ascii: bool = True) -> None:
    with atomic_file(path) as file:
        file.write(json.dumps(content, indent=indent, ensure_ascii=ensure_ascii) + "\n")


def _arrays(curve: "Curve") -> dict[str, list[float]]:
    return {name: values.tolist() for name, values in curve._asdict().items()}


def _table(title: str, first: _Measured, second: _Measured) -> Table:
    """Thresholds, precision, recall and F1 of every type, micro and macro, before and after."""
    table = Table(title=Text(title))
    table.add_column("type")
    table.add_column("")
    for name in ("threshold", "written", "precision", "recall", "F1"):
        table.add_column(name, justify="right")
    for before, after in zip(_rows(*first), _rows(*second), strict=True):
        # As `Text`, so that brackets in a label are no markup.
        table.add_row(Text(before[0]), "before", *before[1:])
        table.add_row("", "after", *after[1:], end_section=True)
    return table


def _rows(result: ThresholdResult, thresholds: Mapping[str, float]) -> list[list[str]]:
    """Name, threshold without calibration, threshold as written, precision, recall and F1."""
    metrics = result.metrics
    rows = [
        (label, f"{thresholds[label]:.4f}", f"{result.thresholds[label]:.4f}", counts.to_dict())
        for label, counts in metrics.per_label.items()
    ]
    rows += [("micro", "", "", metrics.micro.to_dict()), ("macro", "", "", metrics.macro)]
    return [[*cells, *(f"{value:.4f}" for value in ratios.values())] for *cells, ratios in rows]
