"""Files that commands read, and what stands for one: `-`, a pipe, a device."""

import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import BinaryIO

import typer

from ..data import DataError


_STANDARD_INPUT = (Path("-"), Path("/dev/stdin"))


def readable_file(context: typer.Context, path: Path | None) -> Path | None:
    """The path or, where it can be read only once, that of a copy which lasts as long as the command.

    Data are read several times: to find out their format and their tagging scheme, to count them, to resume.

    Raises:
        DataError: If there is no such file, which is said before a command imports what takes seconds.
    """
    if path is None:
        return None
    if path not in _STANDARD_INPUT and not path.exists():
        raise DataError(f"{path}: no such file; check the path.")
    return _rereadable(context, path)


def readable_files(context: typer.Context, paths: list[Path]) -> list[Path]:
    """As `readable_file`, of several."""
    return [_rereadable(context, path) for path in paths]


def _rereadable(context: typer.Context, path: Path) -> Path:
    if path in _STANDARD_INPUT:
        return _copy(context, sys.stdin.buffer, "stdin")
    if path.is_file() or path.is_dir() or not path.exists():
        return path
    with path.open("rb") as pipe:
        return _copy(context, pipe, path.name)


def _copy(context: typer.Context, source: BinaryIO, name: str) -> Path:
    """A copy by this name, which says in messages where lines come from; a pipe's suffix may tell its format."""
    copy = Path(context.with_resource(TemporaryDirectory(prefix="hf-globalpointer-")), name)
    with copy.open("wb") as file:
        shutil.copyfileobj(source, file)
    return copy
