"""JSON Lines, one object a line: `{"id", "text", "entities": [{"start", "end", "label"}]}`."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..schema import DataError, Entity, Example
from .lines import numbered_lines


_TYPE_NAMES = {str: "a string", int: "an integer", list: "a list", dict: "an object"}


def read_jsonl(path: Path, labelled: bool) -> Iterator[Example]:
    """Yield the example of each line that is not blank; fields other than the ones above are not read."""
    for number, line in numbered_lines(path):
        if not line.strip():
            continue
        source = f"{path}:{number}"
        try:
            record = json.loads(line)
        except json.JSONDecodeError as error:
            raise DataError(
                f"{source}: not valid JSON ({error.msg} at column {error.colno}); each line must be one whole object."
            ) from error
        except (ValueError, RecursionError) as error:  # numbers of thousands of digits, brackets thousands deep
            raise DataError(f"{source}: JSON that cannot be read ({error}); simplify the line.") from error
        try:
            yield _parse(record, labelled, source)
        except DataError as error:
            raise DataError(f"{source}: {error}") from error


def _parse(record: Any, labelled: bool, source: str) -> Example:
    record = _typed(record, dict, "the line")
    text = _field(record, "text", str)
    entities = []
    if labelled or "entities" in record:
        for index, item in enumerate(_field(record, "entities", list)):
            where = f"entities[{index}]"
            item = _typed(item, dict, where)
            start, end = (_field(item, name, int, where) for name in ("start", "end"))
            label = _field(item, "label", str, where)
            if not label.isprintable() or not label:
                raise DataError(f"{where}.label is {label!r}; name the entity's type in printable characters.")
            entities.append(Entity(start, end, label))
    id = record.get("id")
    if not isinstance(id, str | int | None):
        raise DataError(f"id must be a string or an integer, got {json.dumps(id)[:60]}.")
    return Example(text, tuple(entities), id=id, source=source)


def _field(record: dict[str, Any], name: str, kind: type, where: str | None = None) -> Any:
    path = f"{where}.{name}" if where else name
    if name not in record:
        raise DataError(f'field "{path}" is missing; it must be {_TYPE_NAMES[kind]}.')
    return _typed(record[name], kind, path)


def _typed(value: Any, kind: type, path: str) -> Any:
    # In Python a bool is an int; in the data it is a mistake.
    if not isinstance(value, kind) or isinstance(value, bool):
        raise DataError(f"{path} must be {_TYPE_NAMES[kind]}, got {json.dumps(value, ensure_ascii=False)[:60]}.")
    return value
