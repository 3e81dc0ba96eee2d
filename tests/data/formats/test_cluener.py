import json
from pathlib import Path
from typing import Any

import pytest

from data_files import Read, check_detected, check_malformed, write_file
from hf_globalpointer.data.formats.reading import input_format


CLUENER = {"text": "叶老桂认为:叶老桂", "label": {"name": {"叶老桂": [[0, 2], [6, 8]]}, "word": {"认为": [[3, 4]]}}}


CLUENER_READ = [("叶老桂认为:叶老桂", [("叶老桂", "name"), ("叶老桂", "name"), ("认为", "word")])]


def cluener(label: Any) -> dict[str, Any]:
    return {"text": "ab c", "label": label}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(json.dumps(CLUENER) + "\n", CLUENER_READ, id="cluener"),
        pytest.param([CLUENER], CLUENER_READ, id="cluener-array"),
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.txt", "a"])
def test_records_are_detected_and_read(tmp_path: Path, name: str, content: object, expected: list[Read]) -> None:
    check_detected(tmp_path / name, "cluener", content, expected)


MALFORMED: dict[str, tuple[str, Any, str]] = {
    "other-surface": (
        "cluener",
        cluener({"x": {"c": [[0, 0]]}}),
        ':1: label.x says "c", but characters 0 to 1',
    ),
    "exclusive-end": (
        "cluener",
        cluener({"x": {"ab": [[0, 2]]}}),
        ':1: label.x says "ab", but characters 0 t',
    ),
    "beyond-text": ("cluener", cluener({"x": {"c": [[3, 4]]}}), ":1: label.x says"),
    "negative": ("cluener", cluener({"x": {"c": [[-1, -1]]}}), ":1: label.x says"),
    "field-twice": (
        "cluener",
        '{"text": "ab", "label": {"x": {"a": [[0, 0]]}, "x": {"b": [[1, 1]]}}}',
        ':1: field "x" is given twice in one object; leave one.',
    ),
    "pair": ("cluener", cluener({"x": {"ab": [0, 1]}}), ":1: label.x.ab must hold [start, end] pairs, got 0."),
    "strings": ("cluener", cluener({"x": {"ab": [["0", 1]]}}), ':1: label.x.ab must be an integer, got "0".'),
    "list": ("cluener", cluener([[0, 2, "x"]]), ":1: label must be an object, got [[0"),
    "empty-label": ("cluener", cluener({"": {"ab": [[0, 1]]}}), ":1: label. is ''; name the entity's type"),
    "no-label": ("cluener", {"text": "ab"}, ':1: field "label" is missing; it must be an object.'),
}


@pytest.mark.parametrize("detected", [False, True])
@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_file_is_named(tmp_path: Path, name: str, detected: bool) -> None:
    if detected and name == "list":  # which is doccano's
        assert input_format(write_file(tmp_path / "data.json", MALFORMED[name][1])) == "doccano"
        return
    check_malformed(tmp_path, *MALFORMED[name], detected=detected)
