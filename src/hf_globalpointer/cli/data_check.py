"""`hf-globalpointer data check`."""

import sys
from collections import Counter
from collections.abc import Mapping
from importlib.util import find_spec
from os import W_OK, access
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from ..data import DataError, DataReport, read_examples
from ..data.check import Kind, SplitCheck, check_splits, quantile
from .common import InputError, loading, messages


_PLOT_FORMATS = (".png", ".svg", ".pdf")
# Findings of a kind that are shown.
_SHOWN = 3


def check(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", help="Labelled texts, a file (or a folder of brat's) a split.")
    ],
    tokenizer: Annotated[
        str | None, typer.Option(help="Tokenizer to count and align tokens with: checkpoint folder or Hub id.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the lengths: a .png, .svg or .pdf file. Needs matplotlib.")
    ] = None,
) -> None:
    """Count what labelled data hold, and look for mistakes in them.

    Exits with 0 if there are no problems, with 1 if there are, and with 2 if the input cannot be used. Hints, of which
    some are no mistakes, do not count.
    """
    try:
        checks, reports = _run(files, tokenizer, plot)
        console = Console()
        for table in (_splits_table(checks), _labels_table(checks), _lengths_table(checks)):
            console.print(table)
        _print_findings(console, checks, reports)
        if plot:
            plot_lengths(checks, plot)
            messages.print(f"The lengths are drawn in {plot}.", markup=False, highlight=False, soft_wrap=True)
    except (DataError, InputError, OSError) as error:
        print(f"hf-globalpointer: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    problems = sum(each.num_problems for each in checks.values()) + sum(each.num_problems for each in reports.values())
    raise typer.Exit(1 if problems else 0)


def _run(
    files: list[Path], tokenizer: str | None, plot: Path | None
) -> tuple[dict[str, SplitCheck], dict[str, DataReport]]:
    """Check all files; what cannot be used is said before the slow work."""
    if plot is not None:
        _check_plot(plot)
    stems = Counter(path.stem for path in files)
    paths = {path.stem if stems[path.stem] == 1 else str(path): path for path in files}
    if len(paths) < len(files):
        raise InputError("a file is given twice.")
    for path in files:
        if not path.exists():
            raise DataError(f"{path}: no such file; check the path.")
    fast = _load_tokenizer(tokenizer) if tokenizer else None
    reports = {name: DataReport() for name in paths}
    splits = {
        name: track(read_examples(path, report=reports[name]), f"Checking {name}", console=messages)
        for name, path in paths.items()
    }
    return check_splits(splits, fast), reports


def _check_plot(path: Path) -> None:
    if find_spec("matplotlib") is None:
        raise InputError("--plot needs matplotlib: pip install 'hf-globalpointer[plot]'")
    if path.suffix.lower() not in _PLOT_FORMATS:
        raise InputError(f"--plot must name a file that ends in {', '.join(_PLOT_FORMATS)}, got {path}.")
    if path.is_dir() or not access(path if path.exists() else path.parent, W_OK):
        raise InputError(f"cannot write {path}; name a file in a folder that exists and can be written to.")


def _load_tokenizer(name: str) -> PreTrainedTokenizerBase:
    with loading("tokenizer", name):
        tokenizer = AutoTokenizer.from_pretrained(name)
        if not tokenizer.is_fast:
            raise ValueError(f"{type(tokenizer).__name__} gives no character offsets; use a fast tokenizer.")
        return tokenizer


def _table(title: str, first: str, *columns: str) -> Table:
    table = Table(title=title)
    table.add_column(first)
    for column in columns:
        table.add_column(column, justify="right")
    return table


def _splits_table(checks: Mapping[str, SplitCheck]) -> Table:
    names = ("texts", "without entity", "entities", "nested", "crossing", "same span")
    table = _table("Splits", "split", *names)
    for name, each in checks.items():
        total = each.entities.total()
        shares = [
            f"{part} ({part / max(total, 1):.1%})" for part in (each.nested, each.crossing, each.doubly_labelled)
        ]
        # As `Text`, so that brackets in a name are no markup.
        table.add_row(Text(name), str(each.texts), str(each.without_entities), str(total), *shares)
    return table


def _labels_table(checks: Mapping[str, SplitCheck]) -> Table:
    table = Table(title="Entities")
    table.add_column("type")
    for name in checks:
        table.add_column(Text(name), justify="right")
    totals = sum((each.entities for each in checks.values()), Counter[str]())
    for label, _ in sorted(totals.items(), key=lambda item: (-item[1], item[0])):
        table.add_row(Text(label), *(str(each.entities[label]) for each in checks.values()))
    return table


def _lengths(each: SplitCheck) -> dict[str, Counter[int]]:
    """What has lengths, those in tokens only where there was a tokenizer."""
    lengths = {"texts, characters": each.text_characters, "entities, characters": each.entity_characters}
    if each.text_tokens:
        lengths |= {"texts, tokens": each.text_tokens, "entities, tokens": each.entity_tokens}
    return lengths


def _lengths_table(checks: Mapping[str, SplitCheck]) -> Table:
    table = _table("Lengths", "split", "median", "95 %", "longest")
    for name, each in checks.items():
        for what, counts in _lengths(each).items():
            table.add_row(Text(f"{name}: {what}"), *(str(quantile(counts, share)) for share in (0.5, 0.95, 1.0)))
    return table


def _print_findings(console: Console, checks: Mapping[str, SplitCheck], reports: Mapping[str, DataReport]) -> None:
    """Problems first, then hints, each with the first few of its kind."""
    for is_problem, title in ((True, "Problems"), (False, "Hints (some are no mistakes)")):
        found = {
            f"{kind.words}, {name}": (each.findings[kind].count, each.findings[kind].messages)
            for kind in Kind
            for name, each in checks.items()
            if kind.is_problem == is_problem and kind in each.findings
        }
        if is_problem:
            found |= {
                f"not read exactly, {name}": (report.num_problems, report.problems)
                for name, report in reports.items()
                if report.num_problems
            }
        console.print(f"{title}: {'none' if not found else ''}", highlight=False)
        for what, (count, some) in found.items():
            console.print(f"  {count} {what}", markup=False, highlight=False, soft_wrap=True)
            for message in some[:_SHOWN]:
                console.print(f"    {message}", markup=False, highlight=False, soft_wrap=True)


def plot_lengths(checks: Mapping[str, SplitCheck], path: Path) -> None:
    """Draw a histogram of each length, a line for each split that has any.

    Raises:
        OSError: If the file cannot be written.
        ModuleNotFoundError: If matplotlib is not installed: `pip install 'hf-globalpointer[plot]'`.
    """
    from matplotlib.figure import Figure

    lengths = {name: _lengths(each) for name, each in checks.items()}
    panels = list(next(iter(lengths.values())))
    figure = Figure(figsize=(4 * len(panels), 3.2), layout="constrained")
    for place, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), place)
        axes.set_title(panel)
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
