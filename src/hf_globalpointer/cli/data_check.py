"""`hf-globalpointer data check`."""

import json
import sys
from collections import Counter
from collections.abc import Mapping
from importlib.util import find_spec
from os import W_OK, access
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from ..data import DataError, DataReport, read_examples
from ..data.check import QUANTILES, Kind, SplitCheck, check_splits, quantile
from .common import InputError, loading, messages, say
from .inputs import readable_files


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_PLOT_FORMATS = (".png", ".svg", ".pdf")
# Findings of a kind that are shown, unless all are.
_SHOWN = 3
# Columns of a table that a label takes.
_LABEL_WIDTH = 40


def check(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Labelled texts, a file (or a folder of brat's, or - for standard input) a split; the training data "
            "first.",
            callback=readable_files,
        ),
    ],
    tokenizer: Annotated[
        str | None, typer.Option(help="Tokenizer to count and align tokens with: checkpoint folder or Hub id.")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the lengths: a .png, .svg or .pdf file. Needs matplotlib.")
    ] = None,
    show_all: Annotated[
        bool, typer.Option("--all", help=f"Show all findings, not only the first {_SHOWN} of each kind.")
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print a JSON object in place of the tables: in splits, for each file, the counts of the tables, and "
            "as findings all that was found, with kind, is_problem, count and messages.",
        ),
    ] = False,
) -> None:
    """Count what labelled data hold, and look for mistakes in them.

    Exits with 0 if there are no problems, with 1 if there are, and with 2 if the input cannot be used. Hints, of which
    some are no mistakes, do not count.
    """
    try:
        checks = _run(files, tokenizer, plot)
        if as_json:
            print(json.dumps({"splits": {name: each.to_dict() for name, each in checks.items()}}, indent=2))
        else:
            # Without emoji, or ":100:" in the place of a finding becomes a picture.
            console = Console(emoji=False)
            for table in (_splits_table(checks), _labels_table(checks), _lengths_table(checks)):
                console.print(table)
            _print_findings(console, checks, None if show_all else _SHOWN)
        if plot:
            plot_lengths(checks, plot)
            say(f"The lengths are drawn in {plot}.")
    except (DataError, InputError, OSError) as error:
        print(f"hf-globalpointer: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    raise typer.Exit(1 if any(each.num_problems for each in checks.values()) else 0)


def _run(files: list[Path], tokenizer: str | None, plot: Path | None) -> dict[str, SplitCheck]:
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
    with Progress(console=messages) as progress:
        splits = {
            name: progress.track(read_examples(path, report=reports[name]), description=f"Checking {name}")
            for name, path in paths.items()
        }
        checks = check_splits(splits, fast)
    for name, report in reports.items():
        if report.problems:
            checks[name].findings[Kind.NOT_EXACT] = report.problems
    return checks


def _check_plot(path: Path) -> None:
    if find_spec("matplotlib") is None:
        raise InputError("--plot needs matplotlib: pip install 'hf-globalpointer[plot]'")
    if path.suffix.lower() not in _PLOT_FORMATS:
        raise InputError(f"--plot must name a file that ends in {', '.join(_PLOT_FORMATS)}, got {path}.")
    if path.is_dir() or not access(path if path.exists() else path.parent, W_OK):
        raise InputError(f"cannot write {path}; name a file in a folder that exists and can be written to.")


def _load_tokenizer(name: str) -> "PreTrainedTokenizerBase":
    from transformers import AutoTokenizer

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
        table.add_row(_shortened(label), *(str(each.entities[label]) for each in checks.values()))
    return table


def _shortened(label: str) -> Text:
    """The label as it is, or its beginning where it would leave a table no room."""
    text = Text(label)
    text.truncate(_LABEL_WIDTH, overflow="ellipsis")
    return text


def _title(lengths: str) -> str:
    return lengths.replace("_", " ")


def _lengths_table(checks: Mapping[str, SplitCheck]) -> Table:
    table = _table("Lengths", "split", *QUANTILES)
    for name, each in checks.items():
        for what, counts in each.lengths.items():
            row = (str(quantile(counts, share)) for share in QUANTILES.values())
            table.add_row(Text(f"{name}: {_title(what)}"), *row)
    return table


def _print_findings(console: Console, checks: Mapping[str, SplitCheck], limit: int | None) -> None:
    """Problems first, then hints, up to `limit` of each kind and split."""
    for is_problem, title in ((True, "Problems"), (False, "Hints (some are no mistakes)")):
        found = {
            f"{kind.words}, {name}": each.findings[kind]
            for kind in Kind
            for name, each in checks.items()
            if kind.is_problem == is_problem and kind in each.findings
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

    lengths = {name: each.lengths for name, each in checks.items()}
    panels = list(next(iter(lengths.values())))
    figure = Figure(figsize=(4 * len(panels), 3.2), layout="constrained")
    for place, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(1, len(panels), place)
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
