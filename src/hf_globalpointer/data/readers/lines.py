"""Lines of a text file with their numbers, for the readers."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from ..schema import DataError


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a UTF-8 file, without their line ends, numbered from 1.

    Raises:
        DataError: At the first line that is not UTF-8.
    """
    with path.open("rb") as file:
        yield from decoded_lines(file, path)


def decoded_lines(lines: Iterable[bytes], path: Path) -> Iterator[tuple[int, str]]:
    """As `numbered_lines`, of a file that is open."""
    for number, line in enumerate(lines, start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8").rstrip("\r\n")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}:{number}: not UTF-8 ({error}); convert the file to UTF-8.") from error
        yield number, text
