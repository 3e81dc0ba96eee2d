from pathlib import Path
from typing import Any

import pytest

from data_files import (
    ADA,
    ADA_READ,
    ADA_ROWS,
    NESTED,
    ODD,
    Read,
    check_detected,
    check_malformed,
    read_without_source,
)
from hf_globalpointer.data import Example, write_examples


OBJECTS = [{"id": 1, "start_offset": s, "end_offset": e, "label": label} for s, e, label in ADA_ROWS]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param({"text": ADA_READ[0], "label": ADA_ROWS}, [ADA_READ], id="doccano-label"),
        pytest.param({"text": ADA_READ[0], "labels": ADA_ROWS}, [ADA_READ], id="doccano-labels"),
        pytest.param({"text": ADA_READ[0], "entities": ADA_ROWS}, [ADA_READ], id="doccano-entities"),
        pytest.param({"text": ADA_READ[0], "entities": OBJECTS, "relations": []}, [ADA_READ], id="doccano-objects"),
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.txt", "a"])
def test_records_are_detected_and_read(tmp_path: Path, name: str, content: object, expected: list[Read]) -> None:
    check_detected(tmp_path / name, "doccano", content, expected)


MALFORMED: dict[str, tuple[str, Any, str]] = {
    "two-fields": (
        "doccano",
        {"text": "a", "label": [], "entities": []},
        ":1: entities stand in label and ent",
    ),
    "no-field": ("doccano", {"text": "a"}, ':1: field "label" is missing; it must be a list.'),
    "class": ("doccano", {"text": "a", "label": ["good"]}, ":1: label[0] must be [start, end, label], got"),
    "four": ("doccano", {"text": "a", "label": [[0, 1, "x", 2]]}, ":1: label[0] must be [start, end, label]"),
    "beyond-text": ("doccano", {"text": "a", "label": [[0, 2, "x"]]}, ":1: entities[0] ('x') has start 0 and"),
    "null": ("doccano", {"text": "a", "label": [[0, None, "x"]]}, ":1: label[0] must be an integer, got null"),
    "object": ("doccano", {"text": "a", "entities": [{"label": "x"}]}, ':1: field "entities[0].start_offset"'),
}


@pytest.mark.parametrize("detected", [False, True])
@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_file_is_named(tmp_path: Path, name: str, detected: bool) -> None:
    check_malformed(tmp_path, *MALFORMED[name], detected=detected)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    examples = [ADA, NESTED, ODD, Example("\ud83d", id=3)]
    write_examples(examples, tmp_path / "a.jsonl", "doccano")
    assert read_without_source(tmp_path / "a.jsonl") == examples
    first = (tmp_path / "a.jsonl").read_text().splitlines()[0]
    assert first == '{"text": "Ada Lovelace met Bob", "label": [[0, 12, "per"], [17, 20, "per"]]}'
