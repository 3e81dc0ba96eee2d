"""Scores as tables on the terminal."""

from rich.table import Table
from rich.text import Text

from ..evaluation.evaluation import Evaluation
from ..evaluation.metrics import SpanCounts, SpanMetrics
from ..reports.evaluation_tables import Comparison, shown_ratios


def metrics_table(metrics: SpanMetrics, title: str) -> Table:
    """Precision, recall and F1 of every type, micro and macro."""
    table = Table(title=Text(title))
    table.add_column("type")
    for name in ("precision", "recall", "F1", "gold", "predicted", "correct"):
        table.add_column(name, justify="right")

    def add(name: str, counts: SpanCounts, last: bool) -> None:
        numbers = map(str, (counts.gold, counts.predicted, counts.correct))
        # As `Text`, so that brackets in a label are no markup.
        table.add_row(Text(name), *shown_ratios(counts), *numbers, end_section=last)

    types = list(metrics.per_label.items())
    for index, (label, counts) in enumerate(types, start=1):
        add(label, counts, last=index == len(types))
    add("micro", metrics.micro, last=False)
    table.add_row("macro", *shown_ratios(metrics.micro, metrics.macro))
    return table


def groups_table(evaluation: Evaluation) -> Table:
    """Precision, recall and F1 by length and density, and where less must be right."""
    errors = evaluation.errors
    sections = {
        "length {}": evaluation.lengths.metrics.per_label,
        "longest {}": evaluation.longest.metrics.per_label,
        "density {}": evaluation.densities.metrics.per_label,
        "{} only": {"boundaries": errors.boundaries, "types": errors.labels},
    }
    table = Table()
    table.add_column("group")
    for name in ("precision", "recall", "F1", "gold", "predicted", "correct"):
        table.add_column(name, justify="right")
    for title, groups in sections.items():
        for name, counts in groups.items():
            table.add_row(
                title.format(name), *shown_ratios(counts), *map(str, (counts.gold, counts.predicted, counts.correct))
            )
        table.add_section()
    return table


def comparison_table(comparison: Comparison) -> Table:
    """The scores of both models, and how sure their difference is."""
    table = Table(title=Text(f"Compared with {comparison.other}"))
    table.add_column("score")
    for name in ("this", "other", "difference", "95 % interval", "p"):
        table.add_column(name, justify="right")
    for name, difference in comparison.differences.items():
        values = (f"{value:.4f}" for value in (difference.first, difference.second))
        low, high = difference.interval
        interval = f"{low:+.4f} {high:+.4f}"
        table.add_row(name, *values, f"{difference.value:+.4f}", interval, f"{difference.p_value:.4f}")
    return table
