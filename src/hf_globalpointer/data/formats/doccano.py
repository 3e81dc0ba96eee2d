"""doccano: `{"text", "label": [[start, end, label]]}`, or `labels`, or `entities`; characters, end exclusive."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from ..data_report import OnProblem
from ..examples import DataError, Entity, Example
from .fields import entity_label, optional_id, preview, require_field, require_type
from .records import json_text, parsed_records


def read_doccano(path: Path, labeled: bool, on_problem: OnProblem) -> Iterator[Example]:
    """Yield the example of each record; entities are rows, or objects with `start_offset`, `end_offset` and `label`.

    Raises:
        DataError: If a field is missing or of another kind, or entities stand in two fields.
    """

    def parse(record: dict[str, Any], source: str) -> Example:
        text = require_field(record, "text", str)
        names = [name for name in ("label", "labels", "entities") if name in record]
        if len(names) > 1:
            raise DataError(f"entities stand in {' and '.join(names)}; leave one of these fields.")
        if not names and labeled:
            raise DataError('field "label" is missing; it must be a list.')
        items = ((name, enumerate(require_field(record, name, list))) for name in names)
        entities = [_entity(item, f"{name}[{index}]") for name, numbered in items for index, item in numbered]
        return Example(text, tuple(entities), optional_id(record), source)

    return parsed_records(path, parse)


def _entity(item: Any, where: str) -> Entity:
    if isinstance(item, dict):
        start, end = (require_field(item, name, int, where) for name in ("start_offset", "end_offset"))
        label = require_field(item, "label", str, where)
    elif isinstance(item, list) and len(item) == 3:
        start, end = (require_type(value, int, where) for value in item[:2])
        label = require_type(item[2], str, where)
    else:
        raise DataError(f"{where} must be [start, end, label], got {preview(item)}.")
    return Entity(start, end, entity_label(label, where))


def write_doccano(examples: Iterable[Example], path: Path, on_problem: OnProblem) -> None:
    """Write an example a line, for doccano's import of JSONL; the reader gives all of it back, but `source`."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for example in examples:
            id = {} if example.id is None else {"id": example.id}
            rows = [[entity.start, entity.end, entity.label] for entity in example.entities]
            file.write(json_text({**id, "text": example.text, "label": rows}) + "\n")
