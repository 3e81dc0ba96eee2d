"""SpERT and PFN: a JSON array of `{"tokens", "entities": [{"type", "start", "end"}]}`, tokens, end exclusive."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..data_report import OnProblem
from ..examples import DataError, Example
from .fields import entity_label, optional_id, require_field, require_type
from .records import json_records
from .tags import join_tokens, token_entity


def read_spert(path: Path, labeled: bool, on_problem: OnProblem) -> Iterator[Example]:
    """Yield the example of each record, its text the tokens joined by a space, its id `orig_id`; no relations.

    Raises:
        DataError: If a field is missing or of another kind, or an entity reaches outside the tokens.
    """
    for source, record in json_records(path):
        try:
            yield _parse(record, labeled, source)
        except DataError as error:
            raise DataError(f"{source}: {error}") from error


def _parse(record: Any, labeled: bool, source: str) -> Example:
    record = require_type(record, dict, "the record")
    tokens = require_field(record, "tokens", list)
    text, starts = join_tokens(tokens)
    entities = []
    if labeled or "entities" in record:
        for index, item in enumerate(require_field(record, "entities", list)):
            where = f"entities[{index}]"
            item = require_type(item, dict, where)
            first, end = (require_field(item, name, int, where) for name in ("start", "end"))
            label = entity_label(require_field(item, "type", str, where), f"{where}.type")
            if not 0 <= first < end <= len(tokens):
                raise DataError(
                    f"{where} ({label!r}) has start {first} and end {end}; they must satisfy 0 <= start < end <= "
                    f"{len(tokens)}, the number of tokens."
                )
            entities.append(token_entity(tokens, starts, first, end, label))
    return Example(text, tuple(entities), optional_id(record, "orig_id"), source)
