"""Plain text, one text a line."""

from collections.abc import Iterator
from pathlib import Path

from ..schema import Example
from .lines import numbered_lines


def read_plain(path: Path, labelled: bool) -> Iterator[Example]:
    """Yield each line, a blank one too, as an example without entities."""
    for number, line in numbered_lines(path):
        yield Example(line, source=f"{path}:{number}")
