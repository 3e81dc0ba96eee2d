"""Prodigy: `{"text", "spans": [{"start", "end", "label"}], "answer"}`; characters, end exclusive."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..data_report import OnProblem
from ..examples import DataError, Example
from .fields import preview, require_type
from .jsonl import parse_record
from .records import json_records


def read_prodigy(path: Path, labeled: bool, on_problem: OnProblem) -> Iterator[Example]:
    """Yield the example of each task that was accepted, or has no answer; tokens are not read.

    A task that was accepted without spans has no entities. One that the annotator rejected or ignored is left out.

    Raises:
        DataError: If a field is missing or of another kind, or an answer is none of Prodigy's.
    """
    for source, record in json_records(path):
        try:
            if _is_accepted(record):
                yield parse_record(record, labeled and "answer" not in record, source, "spans")
        except DataError as error:
            raise DataError(f"{source}: {error}") from error


def _is_accepted(record: Any) -> bool:
    answer = require_type(record, dict, "the task").get("answer", "accept")
    if answer not in ("accept", "reject", "ignore"):
        raise DataError(f'field "answer" is {preview(answer)}; it must be "accept", "reject" or "ignore".')
    return bool(answer == "accept")
