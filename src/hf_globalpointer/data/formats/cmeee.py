"""CMeEE: a JSON array of `{"text", "entities": [{"start_idx", "end_idx", "type", "entity"}]}`."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..data_report import OnProblem
from ..examples import Entity, Example
from .fields import check_surface, entity_label, optional_id, require_field, require_objects
from .records import parsed_records


def read_cmeee(path: Path, labeled: bool, on_problem: OnProblem) -> Iterator[Example]:
    """Yield the example of each record.

    Versions of the data differ in whether `end_idx` is inclusive, which the first entity of the file, whose text is
    given, decides for all.

    Raises:
        DataError: If a field is missing or of another kind, or the text at an entity's place is not the entity's.
    """
    to_exclusive: int | None = None  # what to add to `end_idx`

    def parse(record: dict[str, Any], source: str) -> Example:
        nonlocal to_exclusive
        text = require_field(record, "text", str)
        entities = []
        for where, item in require_objects(record, "entities", labeled):
            start, end = (require_field(item, name, int, where) for name in ("start_idx", "end_idx"))
            label = entity_label(require_field(item, "type", str, where), f"{where}.type")
            surface = require_field(item, "entity", str, where)
            if to_exclusive is None:
                to_exclusive = 0 if len(surface) == end - start else 1
            end += to_exclusive
            check_surface(text, [(start, end)], surface, f"{where}.entity")
            entities.append(Entity(start, end, label))
        return Example(text, tuple(entities), optional_id(record), source)

    return parsed_records(path, parse)
