"""Lines of a text file with their numbers, for the readers."""

import gzip
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from gzip import GzipFile
from io import BufferedReader
from pathlib import Path

from ..examples import DataError


_COMPRESSED = ".gz"


def suffix_of(path: Path) -> str:
    """The suffix that names the format, in lower case; of `texts.jsonl.gz` it is `.jsonl`."""
    suffix = path.suffix.lower()
    return path.with_suffix("").suffix.lower() if suffix == _COMPRESSED else suffix


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader | GzipFile]:
    """Open a file to read its bytes, which are decompressed if its name ends in `.gz`.

    Raises:
        DataError: If it should be compressed and is not, or is damaged.
    """
    if path.suffix.lower() != _COMPRESSED:
        with path.open("rb") as file:
            yield file
        return
    try:
        with gzip.open(path) as compressed:
            yield compressed
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path}: not a complete gzip file ({error}); compress it again.") from error


def count_lines(path: Path) -> int:
    """The number of lines of a file."""
    with opened(path) as file:
        return sum(1 for _ in file)


def numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the lines of a UTF-8 file, without their line ends, numbered from 1.

    Raises:
        DataError: At the first line that is not UTF-8.
    """
    with opened(path) as file:
        for number, line in decoded_lines(file, path):
            yield number, line.rstrip("\r\n")


def decoded_lines(lines: Iterable[bytes], path: Path) -> Iterator[tuple[int, str]]:
    """As `numbered_lines`, of a file that is open, with the line ends."""
    for number, line in enumerate(lines, start=1):
        try:
            yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            other = ", but UTF-16 or no text at all" if b"\0" in line else ""
            raise DataError(f"{path}:{number}: not UTF-8 ({error}){other}; convert the file to UTF-8.") from error
