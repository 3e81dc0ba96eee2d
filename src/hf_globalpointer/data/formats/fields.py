"""Fields of JSON records, checked, for the readers."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from ..examples import DataError


_TYPE_NAMES = {str: "a string", int: "an integer", list: "a list", dict: "an object"}


@contextmanager
def located(place: str) -> Iterator[None]:
    """Put a place in front of the message of every `DataError` raised inside."""
    try:
        yield
    except DataError as error:
        raise DataError(f"{place}: {error}") from error


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


def require_objects(
    record: dict[str, Any], name: str, required: bool, where: str | None = None
) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each object in a list, with its path, such as "entities[0]"; nothing if the list is missing and may be.

    Raises:
        DataError: If the list is missing though it is required, or is no list of objects.
    """
    if required or name in record:
        for index, item in enumerate(require_field(record, name, list, where)):
            path = f"{where}.{name}[{index}]" if where else f"{name}[{index}]"
            yield path, require_type(item, dict, path)


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


def check_surface(text: str, fragments: Sequence[tuple[int, int]], surface: str, path: str) -> None:
    """Check an entity's own text against the text at its place.

    Args:
        text (`str`): The text.
        fragments (`Sequence[tuple[int, int]]`): Start and exclusive end of the entity's pieces, mostly one.
        surface (`str`): What the data say the entity reads, its pieces separated by a space.
        path (`str`): The path to the entity, for the message.

    Raises:
        DataError: If the two differ.
    """
    found = " ".join(text[max(start, 0) : max(end, 0)] for start, end in fragments)
    if not all(0 <= start < end <= len(text) for start, end in fragments) or found != surface:
        places = " and ".join(f"{start} to {end}" for start, end in fragments)
        raise DataError(
            f"{path} says {preview(surface)}, but characters {places} of the text are {preview(found)}; correct the "
            "offsets."
        )
