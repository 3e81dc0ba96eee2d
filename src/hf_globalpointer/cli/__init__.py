"""The command `hf-globalpointer`."""

import sys
from collections.abc import Sequence

import typer

from ..data import DataError
from .common import InputError
from .convert import convert
from .data import data
from .evaluate import evaluate
from .predict import predict
from .train import train
from .tune_thresholds import tune_thresholds


app = typer.Typer(
    help="Train, evaluate and use GlobalPointer named-entity recognition.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (train, tune_thresholds, evaluate, predict, convert):
    app.command()(command)
app.add_typer(data)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; what the user can mend ends in one sentence on standard error and exit code 1."""
    try:
        app(arguments)
    except (DataError, InputError, OSError) as error:
        print(f"hf-globalpointer: {error}", file=sys.stderr)
        raise SystemExit(1) from None
