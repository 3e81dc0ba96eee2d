"""Prodigy: `{"text", "spans": [{"start", "end", "label"}], "answer"}`; characters, end exclusive."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..data_report import OnProblem
from ..examples import DataError, Example
from .fields import preview
from .jsonl import parse_record
from .records import parsed_records


def read_prodigy(path: Path, labeled: bool, on_problem: OnProblem) -> Iterator[Example]:
    """Yield the example of each task that was accepted, or has no answer; tokens are not read.

    A task that was accepted without spans has no entities. One that the annotator rejected or ignored is left out.

    Raises:
        DataError: If a field is missing or of another kind, or an answer is none of Prodigy's.
    """

    def parse(record: dict[str, Any], source: str) -> Example | None:
        answer = record.get("answer", "accept")
        if answer not in ("accept", "reject", "ignore"):
            raise DataError(f'field "answer" is {preview(answer)}; it must be "accept", "reject" or "ignore".')
        if answer != "accept":
            return None
        return parse_record(record, labeled and "answer" not in record, source, "spans")

    return (example for example in parsed_records(path, parse) if example is not None)
