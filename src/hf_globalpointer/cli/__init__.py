"""The command `hf-globalpointer`."""

import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from ..data import DataError
from .common import InputError
from .convert import convert
from .data import data
from .demo import demo
from .evaluate import evaluate
from .export import export
from .predict import predict
from .suggest import suggest
from .train import train
from .tune_thresholds import tune_thresholds


app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"hf-globalpointer {version('hf-globalpointer')}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Train, evaluate and use GlobalPointer named-entity recognition."""


for command in (train, tune_thresholds, evaluate, predict, demo, suggest, convert, export):
    app.command()(command)
app.add_typer(data)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; what the user can mend ends in one sentence on standard error and exit code 1."""
    try:
        app(arguments)
    except ModuleNotFoundError as error:
        needs = f"this takes {error.name or error}, which is not installed: pip install hf-globalpointer"
        print(f"hf-globalpointer: {needs}", file=sys.stderr)
        raise SystemExit(1) from error
    except (DataError, InputError, OSError, FloatingPointError) as error:
        print(f"hf-globalpointer: {error}", file=sys.stderr)
        raise SystemExit(1) from None
