"""Plain text, one text a line."""

from collections.abc import Iterator
from pathlib import Path

from ..data_report import OnProblem
from ..examples import DataError, Example
from .lines import numbered_lines


def read_plain(path: Path, labeled: bool, on_problem: OnProblem) -> Iterator[Example]:
    """Yield each line, a blank one too, as an example without entities.

    Raises:
        DataError: If the examples must be labeled.
    """
    if labeled:
        raise DataError(
            f"{path}: plain text has no entities; labeled data must be JSON Lines or another labeled format."
        )
    for number, line in numbered_lines(path):
        yield Example(line, source=f"{path}:{number}")
