"""CMeEE: a JSON array of `{"text", "entities": [{"start_idx", "end_idx", "type", "entity"}]}`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..data_report import OnProblem
from ..examples import DataError, Entity, Example
from .fields import check_surface, entity_label, field, identifier, typed
from .records import json_records


def read_cmeee(path: Path, labelled: bool, on_problem: OnProblem) -> Iterator[Example]:
    """Yield the example of each record.

    Versions of the data differ in whether `end_idx` is inclusive; the first entity, whose text is given, tells it for
    the file.

    Raises:
        DataError: If a field is missing or of another kind, or the text at an entity's place is not the entity's.
    """
    last: int | None = None  # what to add to `end_idx`
    for source, record in json_records(path):
        try:
            record = typed(record, dict, "the record")
            text = field(record, "text", str)
            entities = []
            if labelled or "entities" in record:
                for index, item in enumerate(field(record, "entities", list)):
                    where = f"entities[{index}]"
                    start, end, label, surface = _fields(item, where)
                    if last is None:
                        last = 0 if len(surface) == end - start else 1
                    check_surface(text, start, end + last, surface, f"{where}.entity")
                    entities.append(Entity(start, end + last, label))
            yield Example(text, tuple(entities), identifier(record), source)
        except DataError as error:
            raise DataError(f"{source}: {error}") from error


def _fields(item: Any, where: str) -> tuple[int, int, str, str]:
    item = typed(item, dict, where)
    start, end = (field(item, name, int, where) for name in ("start_idx", "end_idx"))
    label = entity_label(field(item, "type", str, where), f"{where}.type")
    return start, end, label, field(item, "entity", str, where)
