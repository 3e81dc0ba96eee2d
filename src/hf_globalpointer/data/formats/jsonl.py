"""The package's own format, JSON Lines: `{"id", "text", "entities": [{"start", "end", "label"}]}`."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..data_report import OnProblem
from ..examples import Entity, Example
from .fields import entity_label, optional_id, require_field, require_objects
from .records import json_text, parsed_records


def read_jsonl(path: Path, labeled: bool, on_problem: OnProblem) -> Iterator[Example]:
    """Yield the example of each line that is not blank, or of each item of an array; other fields are its `extra`."""

    def parse(record: dict[str, Any], source: str) -> Example:
        extra = {name: value for name, value in record.items() if name not in ("text", "entities")}
        return replace(parse_record(record, labeled, source), extra=extra)

    return parsed_records(path, parse)


def parse_record(record: dict[str, Any], labeled: bool, source: str, name: str = "entities") -> Example:
    """The example of a record, whose entities, in the field of this name, have `start`, `end` and `label`."""
    text = require_field(record, "text", str)
    entities = []
    for where, item in require_objects(record, name, labeled):
        start, end = (require_field(item, edge, int, where) for edge in ("start", "end"))
        label = entity_label(require_field(item, "label", str, where), f"{where}.label")
        entities.append(Entity(start, end, label))
    return Example(text, tuple(entities), optional_id(record), source)


def write_jsonl(examples: Iterable[Example], path: Path, on_problem: OnProblem) -> None:
    """Write an example a line; the reader gives all of it back, but `source`."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for example in examples:
            entities = [{"start": e.start, "end": e.end, "label": e.label} for e in example.entities]
            id = {} if example.id is None else {"id": example.id}
            file.write(json_text({**id, "text": example.text, "entities": entities}) + "\n")
