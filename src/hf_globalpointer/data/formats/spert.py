"""SpERT and PFN: a JSON array of `{"tokens", "entities": [{"type", "start", "end"}]}`, tokens, end exclusive."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..data_report import OnProblem
from ..examples import DataError, Example
from .fields import entity_label, optional_id, require_field, require_objects
from .records import parsed_records
from .tags import join_tokens, token_entity


def read_spert(path: Path, labeled: bool, on_problem: OnProblem) -> Iterator[Example]:
    """Yield the example of each record, its text the tokens joined by a space, its id `orig_id`; no relations.

    Raises:
        DataError: If a field is missing or of another kind, or an entity reaches outside the tokens.
    """

    def parse(record: dict[str, Any], source: str) -> Example:
        tokens = require_field(record, "tokens", list)
        text, starts = join_tokens(tokens)
        entities = []
        for where, item in require_objects(record, "entities", labeled):
            start, end = (require_field(item, name, int, where) for name in ("start", "end"))
            label = entity_label(require_field(item, "type", str, where), f"{where}.type")
            if not 0 <= start < end <= len(tokens):
                raise DataError(
                    f"{where} ({label!r}) has start {start} and end {end}; they must satisfy 0 <= start < end <= "
                    f"{len(tokens)}, the number of tokens."
                )
            entities.append(token_entity(tokens, starts, start, end - 1, label))
        return Example(text, tuple(entities), optional_id(record, "orig_id"), source)

    return parsed_records(path, parse)
