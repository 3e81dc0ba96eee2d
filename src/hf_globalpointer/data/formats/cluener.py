"""CLUENER: `{"text", "label": {type: {surface: [[start, end], ...]}}}`, end inclusive."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..data_report import OnProblem
from ..examples import DataError, Entity, Example
from .fields import check_surface, entity_label, optional_id, preview, require_field, require_type
from .records import parsed_records


def read_cluener(path: Path, labeled: bool, on_problem: OnProblem) -> Iterator[Example]:
    """Yield the example of each record.

    Raises:
        DataError: If a field is missing or of another kind, or the text at an entity's place is not the entity's.
    """

    def parse(record: dict[str, Any], source: str) -> Example:
        text = require_field(record, "text", str)
        entities = tuple(_entities(text, record)) if labeled or "label" in record else ()
        return Example(text, entities, optional_id(record), source)

    return parsed_records(path, parse)


def _entities(text: str, record: dict[str, Any]) -> Iterator[Entity]:
    for label, surfaces in require_field(record, "label", dict).items():
        where = f"label.{label}"
        entity_label(label, where)
        for surface, spans in require_type(surfaces, dict, where).items():
            for span in require_type(spans, list, f"{where}.{surface}"):
                start, end = _exclusive(span, f"{where}.{surface}")
                check_surface(text, [(start, end)], surface, where)
                yield Entity(start, end, label)


def _exclusive(span: Any, where: str) -> tuple[int, int]:
    """Start and exclusive end of a pair with an inclusive end."""
    if not isinstance(span, list) or len(span) != 2:
        raise DataError(f"{where} must hold [start, end] pairs, got {preview(span)}.")
    start, end = (require_type(value, int, where) for value in span)
    return start, end + 1
