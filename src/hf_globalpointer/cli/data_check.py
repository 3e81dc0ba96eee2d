"""`hf-globalpointer data check`."""

import json
import sys
from collections import Counter
from importlib.util import find_spec
from os import W_OK, access
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import Progress

from ..data import DataError, DataReport, read_examples
from ..training.loading import loading
from .common import InputError, messages, say
from .inputs import readable_files


if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from ..data.checks import SplitCheck

_PLOT_FORMATS = (".png", ".svg", ".pdf")
# Findings of a kind that are shown, unless all are.
_SHOWN = 3


def check(
    files: Annotated[
        list[Path],
        typer.Argument(
            metavar="FILE...",
            help="Labeled texts, a file (or a folder of brat's, or - for standard input) a split; the training data "
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
    """Count what labeled data hold, and look for mistakes in them.

    Exits with 0 if there are no problems, with 1 if there are, and with 2 if the input cannot be used. Hints, not all
    of which are mistakes, do not count.
    """
    from . import findings

    try:
        checks = _run(files, tokenizer, plot)
        if as_json:
            print(json.dumps({"splits": {name: found.to_dict() for name, found in checks.items()}}, indent=2))
        else:
            # Without emoji, or ":100:" in the place of a finding becomes a picture.
            console = Console(emoji=False)
            for table in findings.tables(checks):
                console.print(table)
            findings.print_findings(console, checks, None if show_all else _SHOWN)
        if plot:
            findings.plot_lengths(checks, plot)
            say(f"The lengths are drawn in {plot}.")
    except (DataError, InputError, OSError) as error:
        print(f"hf-globalpointer: {error}", file=sys.stderr)
        raise typer.Exit(2) from None
    raise typer.Exit(1 if any(found.num_problems for found in checks.values()) else 0)


def _run(files: list[Path], tokenizer: str | None, plot: Path | None) -> dict[str, "SplitCheck"]:
    """Check all files; what cannot be used is said before the slow work."""
    from ..data.checks import Issue, check_splits

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
    with Progress(console=messages, disable=not messages.is_terminal) as progress:
        splits = {
            name: progress.track(read_examples(path, report=reports[name]), description=f"Checking {name}")
            for name, path in paths.items()
        }
        checks = check_splits(splits, fast)
    for name, report in reports.items():
        if report.problems:
            checks[name].findings[Issue.NOT_EXACT] = report.problems
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
