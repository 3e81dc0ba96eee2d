"""Records of a JSON file, one at a time: the items of one array, or one object a line."""

import codecs
import json
from collections import Counter
from collections.abc import Iterable, Iterator
from gzip import GzipFile
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import Any, TextIO

from ..examples import DataError
from .fields import preview
from .lines import decoded_lines, opened


_CHUNK = 1 << 16


def _object(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(fields)
    if len(record) < len(fields):
        names = Counter(name for name, _ in fields)
        raise DataError(f"field {preview(max(names, key=names.__getitem__))} is given twice in one object; leave one.")
    return record


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def json_records(path: Path) -> Iterator[tuple[str, Any]]:
    """Yield each record with its place: `file[record]`, counted from 0, in an array, and `file:line` in JSON Lines.

    An array is read in pieces; what is held is a small multiple of the longest record.

    Raises:
        DataError: At the first record that is not JSON in UTF-8, or gives a field of an object twice.
    """
    with opened(path) as file:
        if _is_array(file):
            with TextIOWrapper(file, encoding="utf-8-sig", newline="") as text:
                yield from _Array(path, text).records()
        else:
            yield from _lines(path, file)


def count_records(path: Path) -> int | None:
    """The records of JSON Lines, by the lines that are not blank; of an array, whose lines tell nothing, none."""
    with opened(path) as file:
        return None if _is_array(file) else sum(1 for line in file if not line.isspace())


def _is_array(file: BufferedReader | GzipFile) -> bool:
    return file.peek(_CHUNK).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")


def _lines(path: Path, lines: Iterable[bytes]) -> Iterator[tuple[str, Any]]:
    for number, line in decoded_lines(lines, path):
        line = line.rstrip("\r\n")
        if not line.strip():
            continue
        source = f"{path}:{number}"
        try:
            record = _DECODER.decode(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{source}: not valid JSON ({error.msg} at column {error.colno}); each line must be one whole object."
            ) from error
        except DataError as error:
            raise DataError(f"{source}: {error}") from error
        except (ValueError, RecursionError) as error:  # numbers of thousands of digits, brackets thousands deep
            raise DataError(f"{source}: JSON that cannot be read ({error}); simplify the line.") from error
        yield source, record


class _Array:
    """An array in a file, of which only what is not yet read as records is held."""

    def __init__(self, path: Path, file: TextIO) -> None:
        self.path = path
        self.file = file
        self.index = 0
        self.buffer = ""
        self.at = 0

    def records(self) -> Iterator[tuple[str, Any]]:
        """Yield each item with its place."""
        self._next_mark()
        self.at += 1  # the opening bracket
        mark = self._next_mark()
        while mark != "]":
            yield f"{self.path}[{self.index}]", self._record()
            self.index += 1
            mark = self._next_mark()
            if mark == ",":
                self.at += 1
                if self._next_mark() == "]":
                    raise self._malformed("the array ends with a comma")
            elif mark != "]":
                raise self._malformed("a comma is missing" if mark else "the array is cut off")
        self.at += 1
        if self._next_mark():
            raise self._malformed("something follows the array")

    def _record(self) -> Any:
        """The record that begins here."""
        while True:
            try:
                record, end = _DECODER.raw_decode(self.buffer, self.at)
            except json.JSONDecodeError as error:
                if not self._is_cut(error) or not self._read():
                    raise self._malformed(error.msg) from error
            except DataError as error:
                raise DataError(f"{self.path}[{self.index}]: {error}") from error
            except (ValueError, RecursionError) as error:
                raise DataError(
                    f"{self.path}[{self.index}]: JSON that cannot be read ({error}); simplify the record."
                ) from error
            else:
                # A number at the end of what is held may go on.
                if end < len(self.buffer) or not self._read():
                    self.at = end
                    return record

    def _is_cut(self, error: json.JSONDecodeError) -> bool:
        """Whether the record may only be cut by the end of what is held: then the mistake is at its very end."""
        return error.msg.startswith("Unterminated string") or error.pos >= len(self.buffer) - len(r'"\ud800\udc00')

    def _next_mark(self) -> str:
        """The next character that is not blank, left where it is; "" at the end of the file."""
        while True:
            while self.at < len(self.buffer) and self.buffer[self.at] in " \t\r\n":
                self.at += 1
            if self.at < len(self.buffer):
                return self.buffer[self.at]
            if not self._read():
                return ""

    def _read(self) -> bool:
        """Take in at least as much again as is waiting, so that a long record is tried few times; whether any came."""
        waiting = self.buffer[self.at :]
        try:
            more = self.file.read(max(_CHUNK, len(waiting)))
        except UnicodeDecodeError as error:
            raise DataError(
                f"{self.path}[{self.index}]: not UTF-8 here or soon after ({error}); convert the file to UTF-8."
            ) from error
        self.buffer = waiting + more
        self.at = 0
        return bool(more)

    def _malformed(self, reason: str) -> DataError:
        return DataError(f"{self.path}[{self.index}]: not valid JSON ({reason}); the file must be one whole array.")
