"""Readers of labelled text, one file a format; each yields `Example`s as it reads."""

from collections.abc import Iterator
from os import PathLike
from pathlib import Path

from ..schema import DataError, Example
from .jsonl import read_jsonl
from .plain import read_plain


FORMATS = {"jsonl": read_jsonl, "text": read_plain}
_FORMAT_OF_SUFFIX = {".jsonl": "jsonl", ".json": "jsonl", ".ndjson": "jsonl", ".txt": "text"}


def read_examples(path: str | PathLike[str], format: str | None = None, *, labelled: bool = True) -> Iterator[Example]:
    """Read the examples of a file, one at a time.

    Args:
        path (`str` or `PathLike`): The file.
        format (`str`, *optional*): `"jsonl"` (JSON Lines) or `"text"` (one text a line); by default the suffix tells.
        labelled (`bool`, *optional*, defaults to `True`): Whether every example must state its entities.

    Yields:
        `Example`: In the order of the file, each with its `source`.

    Raises:
        DataError: If there is no such file, it holds no example, or a line cannot be used; the message names file,
            line and field.
    """
    path = Path(path)
    if path.is_dir():
        raise DataError(f"{path}: a folder; name a file in it.")
    if not path.exists():
        raise DataError(f"{path}: no such file; check the path.")
    format = format or _FORMAT_OF_SUFFIX.get(path.suffix.lower())
    if format not in FORMATS:
        raise DataError(f"{path}: unknown format; rename it to .jsonl or .txt, or name one of {', '.join(FORMATS)}.")
    if labelled and format == "text":
        raise DataError(f"{path}: plain text has no entities; labelled data must be JSON Lines (.jsonl).")
    empty = True
    for example in FORMATS[format](path, labelled):
        empty = False
        yield example
    if empty:
        raise DataError(f"{path}: the file holds no examples.")
