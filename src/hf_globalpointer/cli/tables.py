"""Scores as tables on the terminal."""

from rich.table import Table
from rich.text import Text

from ..evaluation.evaluation import Evaluation
from ..evaluation.metrics import SpanCounts, SpanMetrics
from ..reports.evaluation_tables import Comparison, shown_ratios


_SCORES = ("precision", "recall", "F1", "gold", "predicted", "correct")


def metrics_table(metrics: SpanMetrics, title: str) -> Table:
    """Precision, recall and F1 of every type, micro and macro."""
    table = _table(title, "type", *_SCORES)
    for label, counts in metrics.per_label.items():
        table.add_row(*_cells(label, counts))
    table.add_section()
    table.add_row(*_cells("micro", metrics.micro))
    table.add_row("macro", *shown_ratios(metrics.micro, metrics.macro))
    return table


def groups_table(evaluation: Evaluation) -> Table:
    """Precision, recall and F1 by length and density, and where less must be correct."""
    errors = evaluation.errors
    sections = {
        "length {}": evaluation.lengths.metrics.per_label,
        "longest {}": evaluation.longest.metrics.per_label,
        "density {}": evaluation.densities.metrics.per_label,
        "{} only": {"boundaries": errors.boundaries, "types": errors.labels},
    }
    table = _table("By length in words, longest of the text, share of words in entities", "group", *_SCORES)
    for title, groups in sections.items():
        for name, counts in groups.items():
            table.add_row(*_cells(title.format(name), counts))
        table.add_section()
    return table


def comparison_table(comparison: Comparison) -> Table:
    """The scores of both models, and how certain their difference is."""
    title = f"Compared with {comparison.other}"
    table = _table(title, "score", "this", "other", "difference", "95 % interval", "p")
    for name, difference in comparison.differences.items():
        values = (f"{value:.4f}" for value in (difference.first, difference.second))
        low, high = difference.interval
        interval = f"{low:+.4f} to {high:+.4f}"
        table.add_row(name, *values, f"{difference.value:+.4f}", interval, f"{difference.p_value:.4f}")
    return table


def _table(title: str | None, first: str, *others: str) -> Table:
    # As `Text`, here and in the cells, so that brackets in a label or a name are no markup.
    table = Table(title=None if title is None else Text(title))
    table.add_column(first)
    for name in others:
        table.add_column(name, justify="right")
    return table


def _cells(name: str, counts: SpanCounts) -> list[Text | str]:
    return [Text(name), *shown_ratios(counts), *map(str, (counts.gold, counts.predicted, counts.correct))]
