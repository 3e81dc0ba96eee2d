"""Fields of JSON records, checked, for the readers."""

import json
from collections.abc import Sequence
from typing import Any

from ..examples import DataError


_TYPE_NAMES = {str: "a string", int: "an integer", list: "a list", dict: "an object"}


def require_field(record: dict[str, Any], name: str, kind: type, where: str | None = None) -> Any:
    """The field of a record, which must be there and of this kind.

    Args:
        record (`dict[str, Any]`): The record.
        name (`str`): The name of the field.
        kind (`type`): `str`, `int`, `list` or `dict`.
        where (`str`, *optional*): The path to the record, for the message.

    Raises:
        DataError: If it is not.
    """
    path = f"{where}.{name}" if where else name
    if name not in record:
        raise DataError(f'field "{path}" is missing; it must be {_TYPE_NAMES[kind]}.')
    return require_type(record[name], kind, path)


def require_type(value: Any, kind: type, path: str) -> Any:
    """The value, which must be of this kind; otherwise a `DataError`."""
    # In Python a bool is an int; in the data it is a mistake.
    if not isinstance(value, kind) or isinstance(value, bool):
        raise DataError(f"{path} must be {_TYPE_NAMES[kind]}, got {preview(value)}.")
    return value


def preview(value: Any) -> str:
    """The beginning of a value, for messages."""
    return json.dumps(value, ensure_ascii=False, default=str)[:60]


def entity_label(label: str, path: str) -> str:
    """The label, which must be printable and not empty; otherwise a `DataError`."""
    if not label.isprintable() or not label.strip():
        raise DataError(f"{path} is {label!r}; name the entity's type in printable characters.")
    return label


def optional_id(record: dict[str, Any], name: str = "id") -> str | int | None:
    """The id of a record, which may be missing; it only names the example, so two may share one."""
    id = record.get(name)
    if isinstance(id, bool) or not isinstance(id, str | int | None):
        raise DataError(f"{name} must be a string or an integer, got {preview(id)}.")
    return id


def check_surface(text: str, start: int, end: int, surface: str, path: str) -> None:
    """Raise a `DataError` unless the characters `start` to `end` of the text, end exclusive, are the entity's own."""
    check_fragments(text, [(start, end)], surface, path)


def check_fragments(text: str, fragments: Sequence[tuple[int, int]], surface: str, path: str) -> None:
    """As `check_surface`, of an entity in several pieces, which its own text has separated by a space."""
    there = " ".join(text[max(start, 0) : max(end, 0)] for start, end in fragments)
    if not all(0 <= start < end <= len(text) for start, end in fragments) or there != surface:
        places = " and ".join(f"{start} to {end}" for start, end in fragments)
        raise DataError(
            f"{path} says {preview(surface)}, but characters {places} of the text are {preview(there)}; correct the "
            "offsets."
        )
