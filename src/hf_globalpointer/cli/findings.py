"""What `hf-globalpointer data check` shows: tables, findings and a plot of lengths."""

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ..data.checks import Issue, SplitCheck
from ..data.statistics import QUANTILES, quantile


# Columns of a table that a label takes.
_LABEL_WIDTH = 40


def tables(checks: Mapping[str, SplitCheck]) -> Iterator[Table]:
    """What the splits hold: their texts, their entities, and how long both are."""
    yield _splits_table(checks)
    yield _labels_table(checks)
    yield _lengths_table(checks)


def _table(title: str, row_header: str, *columns: str) -> Table:
    table = Table(title=title)
    table.add_column(row_header)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _splits_table(checks: Mapping[str, SplitCheck]) -> Table:
    names = ("texts", "without entity", "entities", "nested", "crossing", "same span")
    table = _table("Splits", "split", *names)
    for name, check in checks.items():
        total = check.entities.total()
        counts = (check.nested, check.crossing, check.doubly_labeled)
        shares = [f"{count} ({count / max(total, 1):.1%})" for count in counts]
        # As `Text`, so that brackets in a name are no markup.
        table.add_row(Text(name), str(check.texts), str(check.without_entities), str(total), *shares)
    return table


def _labels_table(checks: Mapping[str, SplitCheck]) -> Table:
    table = Table(title="Entities")
    table.add_column("type")
    for name in checks:
        table.add_column(Text(name), justify="right")
    totals = sum((check.entities for check in checks.values()), Counter[str]())
    for label, _ in sorted(totals.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(_shortened(label), *(str(check.entities[label]) for check in checks.values()))
    return table


def _shortened(label: str) -> Text:
    """The label as it is, or its beginning where it would take the width of the table."""
    text = Text(label)
    text.truncate(_LABEL_WIDTH, overflow="ellipsis")
    return text


def _title(lengths: str) -> str:
    return lengths.replace("_", " ")


def _lengths_table(checks: Mapping[str, SplitCheck]) -> Table:
    table = _table("Lengths", "split", *QUANTILES)
    for name, check in checks.items():
        for what, counts in check.lengths.items():
            row = (str(quantile(counts, share)) for share in QUANTILES.values())
            table.add_row(Text(f"{name}: {_title(what)}"), *row)
    return table


def print_findings(console: Console, checks: Mapping[str, SplitCheck], limit: int | None) -> None:
    """Problems first, then hints, up to `limit` of each issue and split."""
    for is_problem, title in ((True, "Problems"), (False, "Hints (not all are mistakes)")):
        found = {
            f"{issue.words}, {name}": check.findings[issue]
            for issue in Issue
            for name, check in checks.items()
            if issue.is_problem == is_problem and issue in check.findings
        }
        console.print(f"{title}: {'none' if not found else ''}", highlight=False)
        for what, findings in found.items():
            shown = findings[:limit]
            lines = [f"  {what}: {len(findings)}", *(f"    {finding}" for finding in shown)]
            if len(shown) < len(findings):
                lines.append(f"    ... and {len(findings) - len(shown)} more, which --all shows")
            for line in lines:
                console.print(line, markup=False, highlight=False, soft_wrap=True)


def plot_lengths(checks: Mapping[str, SplitCheck], path: Path) -> None:
    """Draw a histogram of each length, a line for each split that has any.

    Raises:
        OSError: If the file cannot be written.
        ModuleNotFoundError: If matplotlib is not installed: `pip install 'hf-globalpointer[plot]'`.
    """
    from matplotlib.figure import Figure

    lengths = {name: check.lengths for name, check in checks.items()}
    panels = list(next(iter(lengths.values())))
    figure = Figure(figsize=(4 * len(panels), 3.2), layout="constrained")
    for number, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), number)
        axes.set_title(_title(panel))
        axes.set_xlabel("length")
        axes.set_ylabel("share")
        known = {name: counters[panel] for name, counters in lengths.items() if counters[panel]}
        if not known:
            continue
        longest = max(max(counts) for counts in known.values())
        # The same for all splits, or shares could not be compared.
        edges = np.linspace(-0.5, longest + 0.5, min(50, longest + 1) + 1).tolist()
        for name, counts in known.items():
            shares = [count / counts.total() for count in counts.values()]
            axes.hist(list(counts), bins=edges, weights=shares, histtype="step", label=name)
        # A name is no formula, whatever signs it holds.
        for text in axes.legend(fontsize="small").get_texts():
            text.set_parse_math(False)
    figure.savefig(path, dpi=150)
