from pathlib import Path
from typing import Any

import pytest

from data_files import ADA_READ, Read, check_detected, check_malformed


SPERT = [
    {
        "tokens": ["Ada", "Lovelace", "met", "Bob"],
        "entities": [{"type": "per", "start": 0, "end": 2}, {"type": "per", "start": 3, "end": 4}],
        "relations": [{"type": "met", "head": 0, "tail": 1}],
        "orig_id": 7,
    }
]


def spert(**changes: Any) -> list[dict[str, Any]]:
    return [{"tokens": ["a", "b"], "entities": [{"type": "x", "start": 0, "end": 1, **changes}]}]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(SPERT, [ADA_READ], id="spert"),
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.txt", "a"])
def test_records_are_detected_and_read(tmp_path: Path, name: str, content: object, expected: list[Read]) -> None:
    check_detected(tmp_path / name, "spert", content, expected)


MALFORMED: dict[str, tuple[str, Any, str]] = {
    "beyond-tokens": ("spert", spert(end=3), "[0]: entities[0] ('x') has start 0 and end 3; they must satisfy"),
    "negative": ("spert", spert(start=-1), "[0]: entities[0] ('x') has start -1 and end 1;"),
    "empty-entity": ("spert", spert(end=0), "[0]: entities[0] ('x') has start 0 and end 0;"),
    "bool": ("spert", spert(end=True), "[0]: entities[0].end must be an integer, got true."),
    "empty-token": ("spert", [{"tokens": [""], "entities": []}], "[0]: tokens[0] is ''; a token must be a str"),
    "number-token": (
        "spert",
        [{"tokens": [1], "entities": []}],
        "[0]: tokens[0] is 1; a token must be a string",
    ),
    "no-tokens": ("spert", [{"entities": []}], '[0]: field "tokens" is missing; it must be a list.'),
    "list-id": (
        "spert",
        [{**spert()[0], "orig_id": [1]}],
        "[0]: orig_id must be a string or an integer, got [1]",
    ),
}


@pytest.mark.parametrize("detected", [False, True])
@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_file_is_named(tmp_path: Path, name: str, detected: bool) -> None:
    check_malformed(tmp_path, *MALFORMED[name], detected=detected)
