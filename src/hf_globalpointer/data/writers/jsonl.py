"""The package's own format, JSON Lines: `{"id", "text", "entities": [{"start", "end", "label"}]}`."""

import json
from collections.abc import Iterable
from pathlib import Path

from ..report import OnProblem
from ..schema import Example


def write_jsonl(examples: Iterable[Example], path: Path, on_problem: OnProblem) -> None:
    """Write an example a line; the reader gives all of it back, but `source`."""
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for example in examples:
            file.write(_line(example))


def _line(example: Example) -> str:
    entities = [{"start": e.start, "end": e.end, "label": e.label} for e in example.entities]
    id = {} if example.id is None else {"id": example.id}
    record = {**id, "text": example.text, "entities": entities}
    line = json.dumps(record, ensure_ascii=False)
    try:
        line.encode()
    except UnicodeEncodeError:  # a lone surrogate
        line = json.dumps(record)
    return line + "\n"
