"""Records of a JSON file, one at a time: the items of one array, or one object a line."""

import codecs
import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from gzip import GzipFile
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeVar

from ..examples import DataError
from .fields import located, preview, require_type
from .lines import decoded_lines, opened


_T = TypeVar("_T")
_PEEKED = 1 << 16  # bytes to find the first character in that is not whitespace
_WHITESPACE = re.compile(r"[ \t\r\n]*")


def _object(fields: list[tuple[str, Any]]) -> dict[str, Any]:
    record = dict(fields)
    if len(record) < len(fields):
        names = Counter(name for name, _ in fields)
        raise DataError(f"field {preview(max(names, key=names.__getitem__))} is given twice in one object; leave one.")
    return record


_DECODER = json.JSONDecoder(object_pairs_hook=_object)


def json_records(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each record with its place: `file[record]`, counted from 0, in an array, and `file:line` in JSON Lines.

    JSON Lines are read line by line. The text of an array is held in memory, and its items are decoded one at a time.

    Raises:
        DataError: At the first record that is not JSON in UTF-8, is no object, or gives a field of an object twice.
    """
    with opened(path) as file:
        for place, record in _items(path, file.read()) if _is_array(file) else _lines(path, file):
            with located(place):
                require_type(record, dict, "the record")
            yield place, record


def parsed_records(path: Path, parse: Callable[[dict[str, Any], str], _T]) -> Iterator[_T]:
    """Yield what `parse` makes of each record and its place, which comes first in the messages of its errors."""
    for place, record in json_records(path):
        with located(place):
            parsed = parse(record, place)
        yield parsed


def json_text(record: Any) -> str:
    """A record as one line of JSON, in letters as they are, but for what UTF-8 cannot hold."""
    text = json.dumps(record, ensure_ascii=False)
    try:
        text.encode()
    except UnicodeEncodeError:  # a lone surrogate
        return json.dumps(record)
    return text


def count_records(path: Path) -> int | None:
    """The number of lines of JSON Lines that are not blank; None for an array, which would have to be decoded."""
    with opened(path) as file:
        return None if _is_array(file) else sum(1 for line in file if not line.isspace())


def _is_array(file: BufferedReader | GzipFile) -> bool:
    return file.peek(_PEEKED).removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"[")


def _lines(path: Path, lines: Iterable[bytes]) -> Iterator[tuple[str, Any]]:
    for number, line in decoded_lines(lines, path):
        line = line.rstrip("\r\n")
        if line.strip():
            place = f"{path}:{number}"
            with _decoding(place, "each line must be one complete object"):
                record = _DECODER.decode(line)
            yield place, record


def _items(path: Path, content: bytes) -> Iterator[tuple[str, Any]]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 ({error}); convert the file to UTF-8.") from error
    index, position = 0, _skip_whitespace(text, text.index("[") + 1)
    while not text.startswith("]", position):
        place = f"{path}[{index}]"
        with _decoding(place, "the file must be one complete array"):
            record, position = _DECODER.raw_decode(text, position)
        yield place, record
        index += 1
        position = _next_item(text, _skip_whitespace(text, position), f"{path}[{index}]")
    if _skip_whitespace(text, position + 1) < len(text):
        raise _malformed(f"{path}[{index}]", "something follows the array")


def _next_item(text: str, position: int, place: str) -> int:
    """Where the next item begins, or the bracket stands that closes the array."""
    if text.startswith("]", position):
        return position
    if not text.startswith(",", position):
        raise _malformed(place, "a comma is missing" if position < len(text) else "the array is cut off")
    position = _skip_whitespace(text, position + 1)
    if text.startswith("]", position):
        raise _malformed(place, "the array ends with a comma")
    return position


def _skip_whitespace(text: str, position: int) -> int:
    match = _WHITESPACE.match(text, position)
    return match.end() if match else position


def _malformed(place: str, reason: str, remedy: str = "the file must be one complete array") -> DataError:
    return DataError(f"{place}: not valid JSON ({reason}); {remedy}.")


@contextmanager
def _decoding(place: str, remedy: str) -> Iterator[None]:
    """Name the place of what cannot be decoded."""
    try:
        yield
    except json.JSONDecodeError as error:
        line = f"line {error.lineno} " if "\n" in error.doc else ""
        raise _malformed(place, f"{error.msg.removesuffix(' at')} at {line}column {error.colno}", remedy) from error
    except DataError as error:
        raise DataError(f"{place}: {error}") from error
    except (ValueError, RecursionError) as error:  # numbers of thousands of digits, brackets thousands deep
        raise DataError(f"{place}: JSON that cannot be read ({error}); simplify the record.") from error
