"""CMeEE: a JSON array of `{"text", "entities": [{"start_idx", "end_idx", "type", "entity"}]}`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..data_report import OnProblem
from ..examples import DataError, Entity, Example
from .fields import check_surface, entity_label, optional_id, require_field, require_type
from .records import json_records


def read_cmeee(path: Path, labeled: bool, on_problem: OnProblem) -> Iterator[Example]:
    """Yield the example of each record.

    Versions of the data differ in whether `end_idx` is inclusive; the first entity, whose text is given, tells it for
    the file.

    Raises:
        DataError: If a field is missing or of another kind, or the text at an entity's place is not the entity's.
    """
    last: int | None = None  # what to add to `end_idx`
    for source, record in json_records(path):
        try:
            record = require_type(record, dict, "the record")
            text = require_field(record, "text", str)
            entities = []
            if labeled or "entities" in record:
                for index, item in enumerate(require_field(record, "entities", list)):
                    where = f"entities[{index}]"
                    start, end, label, surface = _fields(item, where)
                    if last is None:
                        last = 0 if len(surface) == end - start else 1
                    check_surface(text, start, end + last, surface, f"{where}.entity")
                    entities.append(Entity(start, end + last, label))
            yield Example(text, tuple(entities), optional_id(record), source)
        except DataError as error:
            raise DataError(f"{source}: {error}") from error


def _fields(item: Any, where: str) -> tuple[int, int, str, str]:
    item = require_type(item, dict, where)
    start, end = (require_field(item, name, int, where) for name in ("start_idx", "end_idx"))
    label = entity_label(require_field(item, "type", str, where), f"{where}.type")
    return start, end, label, require_field(item, "entity", str, where)
