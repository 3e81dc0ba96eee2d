"""`hf-globalpointer data`."""

from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress

from ..data import DataReport, read_examples, write_examples
from ..data.formats.reading import FORMATS, input_format
from ..data.formats.writing import WRITERS, output_format
from .common import InputError, messages, say
from .data_check import check
from .inputs import readable_file


data = typer.Typer(name="data", help="Work on labeled texts.", no_args_is_help=True)
data.command()(check)


@data.command()
def convert(
    input: Annotated[
        Path,
        typer.Argument(
            help="Labeled texts: a file, or a folder of brat's; - is standard input.", callback=readable_file
        ),
    ],
    output: Annotated[
        Path, typer.Argument(help="File to write, or folder for brat. OUTPUT.partial until it is complete.")
    ],
    source: Annotated[
        str | None, typer.Option("--from", help=f"Format of INPUT: {', '.join(FORMATS)}; else detected.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--to", help=f"Format of OUTPUT: {', '.join(WRITERS)}; else what its suffix says.")
    ] = None,
) -> None:
    """Convert labeled texts from one format to another, and report what could not be kept exactly."""
    if output.exists() and output.samefile(input):
        raise InputError(f"{output} is the input; name another file to write.")
    target = output_format(output, target)
    source = input_format(input, source)
    report = DataReport()
    examples = read_examples(input, source, report=report)
    with Progress(console=messages, disable=not messages.is_terminal) as progress:
        tracked = progress.track(examples, description=f"From {source} to {target}")
        write_examples(tracked, output, target, report=report)
    say(f"{input} ({source}) to {output} ({target}): {report.summary()}")
