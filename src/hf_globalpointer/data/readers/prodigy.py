"""Prodigy: `{"text", "spans": [{"start", "end", "label"}], "answer"}`; characters, end exclusive."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ..report import OnProblem
from ..schema import DataError, Example
from .fields import shown, typed
from .jsonl import parse_record
from .records import json_records


def read_prodigy(path: Path, labelled: bool, on_problem: OnProblem) -> Iterator[Example]:
    """Yield the example of each task that was accepted, or has no answer; tokens are not read.

    A task that was accepted without spans has no entities.

    Problems: a task whose answer is another, as "reject" or "ignore", is left out.

    Raises:
        DataError: If a field is missing or of another kind.
    """
    for source, record in json_records(path):
        try:
            example = _parse(record, labelled, source)
        except DataError as error:
            raise DataError(f"{source}: {error}") from error
        if example is None:
            on_problem(f"{source}: the answer is {shown(record['answer'])}; it is left out.")
        else:
            yield example


def _parse(record: Any, labelled: bool, source: str) -> Example | None:
    """The example of a task; none if it is not an accepted one."""
    record = typed(record, dict, "the task")
    if record.get("answer", "accept") != "accept":
        return None
    return parse_record(record, labelled and "answer" not in record, source, "spans")
