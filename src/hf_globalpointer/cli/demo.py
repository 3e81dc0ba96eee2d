"""`hf-globalpointer demo`."""

from pathlib import Path
from typing import Annotated

import typer

from .common import InputError, load_recognizer, say


def demo(
    model: Annotated[
        list[str],
        typer.Option(
            help="Checkpoint: folder or Hub id; or the folder of an exported model. Given twice, two are compared."
        ),
    ],
    host: Annotated[
        str, typer.Option(help="Address to serve at; 0.0.0.0 is every one of this machine.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to serve at.")] = 7860,
) -> None:
    """Show the entities of texts in a browser: paste or upload, change thresholds, compare two models."""
    if len(set(model)) != len(model) or len(model) > 2:
        raise InputError(f"--model takes one model, or two different ones to compare, got {', '.join(model)}.")
    try:
        from ..demo.app import launch
    except ModuleNotFoundError as error:
        raise InputError(f"the demo needs {error.name}: pip install 'hf-globalpointer[demo-app]'") from error
    # A folder may be named `.`; an id of the Hub is no path.
    names = [Path(name).resolve().name if Path(name).is_dir() else name for name in model]
    recognizers = dict(
        zip(names if len(set(names)) == len(names) else model, map(load_recognizer, model), strict=True)
    )
    try:
        app = launch(recognizers, server_name=host, server_port=port, quiet=True, prevent_thread_lock=True)
    except OSError as error:
        raise InputError(
            f"cannot serve at {host}:{port}; is the port taken, or the address none of this machine's? Give another "
            "--port or --host."
        ) from error
    say(f"{app.local_url} (Ctrl-C ends it)")
    app.block_thread()
