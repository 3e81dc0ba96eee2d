"""The command `hf-globalpointer`."""

import sys
from collections.abc import Sequence

import typer

from ..data import DataError
from .common import InputError
from .evaluate import evaluate
from .predict import predict
from .train import train


app = typer.Typer(
    help="Train, evaluate and use GlobalPointer named-entity recognition.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
for command in (train, evaluate, predict):
    app.command()(command)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line; what the user can mend ends in one sentence on standard error and exit code 1."""
    try:
        app(arguments)
    except (DataError, InputError, OSError) as error:
        print(f"hf-globalpointer: {error}", file=sys.stderr)
        raise SystemExit(1) from None
