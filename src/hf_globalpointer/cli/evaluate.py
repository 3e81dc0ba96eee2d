"""`hf-globalpointer evaluate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ..data import Example, read_examples
from ..data.examples import check_labels
from .common import (
    BatchSize,
    Model,
    OverlapOfModel,
    Thresholds,
    WindowLength,
    check_options,
    load_recognizer,
    parse_thresholds,
    recognize,
    say,
    thresholds_of,
)
from .inputs import readable_file


if TYPE_CHECKING:
    from ..evaluation.evaluation import Evaluation
    from ..evaluation.missed_entities import MissedEntity
    from ..modeling.text_recognizer import TextRecognizer
    from ..reports.evaluation_tables import Comparison


def evaluate(
    model: Model,
    data: Annotated[Path, typer.Option(help="Labeled texts; - is standard input.", callback=readable_file)],
    report: Annotated[
        Path | None, typer.Option(help="Folder for report.md, report.json and report.html, with errors in context.")
    ] = None,
    max_errors: Annotated[int, typer.Option(min=1, help="Errors of each kind that the page of --report shows.")] = 100,
    compare: Annotated[str | None, typer.Option(help="Another of these: test whether the models differ.")] = None,
    threshold: Thresholds = None,
    overlap: OverlapOfModel = None,
    max_length: WindowLength = None,
    batch_size: BatchSize = 32,
) -> None:
    """Print strict precision, recall and F1 of a model on labeled texts."""
    examples = list(read_examples(data))
    recognizers = [_load(name, examples) for name in (model, compare) if name is not None]

    # These take seconds to import.
    from ..reports.evaluation_report import EvaluationReport
    from ..training.run_folder import check_output_folder
    from .tables import comparison_table, groups_table, metrics_table

    if report is not None:
        check_output_folder(report, resume=True)
    labels = list(dict.fromkeys(label for recognizer in recognizers for label in recognizer.labels))
    thresholds = parse_thresholds(threshold or [])
    options = {"overlap": overlap, "max_length": max_length}
    evaluations = []
    for recognizer in recognizers:
        own = options | {"threshold": thresholds_of(recognizer.labels, thresholds)}
        check_options(recognizer, own)
        evaluations.append(_evaluate(recognizer, examples, labels, batch_size, own))
    evaluation = evaluations[0]
    comparison = None if compare is None else _compare(compare, evaluation, evaluations[1])

    console = Console()
    console.print(metrics_table(evaluation.types.metrics, str(data)))
    console.print(groups_table(evaluation))
    if comparison is not None:
        console.print(comparison_table(comparison))
    if report is not None:
        own = options | {"threshold": thresholds_of(recognizers[0].labels, thresholds)}
        misses = _explain_misses(recognizers[0], evaluation, batch_size, own)
        EvaluationReport(model, str(data), evaluation, comparison, max_errors, misses).save(report)
        say(f"The report is in {report}; open {report / 'report.html'}.")


def _load(name: str, examples: list[Example]) -> "TextRecognizer":
    recognizer = load_recognizer(name)
    check_labels(examples, recognizer.labels, "the model's labels")
    return recognizer


def _evaluate(
    recognizer: "TextRecognizer",
    examples: list[Example],
    labels: list[str],
    batch_size: int,
    options: dict[str, Any],
) -> "Evaluation":
    from ..evaluation.evaluation import Evaluation

    found = recognize(recognizer, examples, batch_size, total=len(examples), **options)
    predictions = [entities for _, entities in found]
    return Evaluation.from_predictions(examples, predictions, labels)


def _explain_misses(
    recognizer: "TextRecognizer", evaluation: "Evaluation", batch_size: int, options: dict[str, Any]
) -> "list[MissedEntity]":
    """Run the model once more, over the texts in which it missed something."""
    from ..evaluation.missed_entities import explain_misses, search_options

    texts = [document.example for document in evaluation.documents if document.missed]
    if not texts:
        return []
    say("Finding out why entities were missed:")
    found = recognize(recognizer, texts, batch_size, len(texts), **search_options(recognizer, **options))
    return explain_misses(recognizer, evaluation.documents, (entities for _, entities in found), **options)


def _compare(name: str, first: "Evaluation", second: "Evaluation") -> "Comparison":
    from ..evaluation.document_counts import count_by_label
    from ..evaluation.significance import compare_models
    from ..reports.evaluation_tables import Comparison

    labels = first.labels
    counts = [count_by_label(evaluation.documents, labels) for evaluation in (first, second)]
    return Comparison(name, compare_models(counts[0], counts[1]))
