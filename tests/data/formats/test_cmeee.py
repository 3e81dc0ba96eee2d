from pathlib import Path
from typing import Any

import pytest

from data_files import Read, check_detected, check_malformed


CMEEE_1 = [
    {"text": "研究证实", "entities": []},
    {"text": "肺内病变", "entities": [{"start_idx": 0, "end_idx": 0, "type": "bod", "entity": "肺"}]},
    {"text": "肺内病变", "entities": [{"start_idx": 0, "end_idx": 3, "type": "sym", "entity": "肺内病变"}]},
]


CMEEE_2 = [
    {"text": "肺内病变", "entities": [{"start_idx": 0, "end_idx": 1, "type": "bod", "entity": "肺"}]},
    {"text": "肺内病变", "entities": [{"start_idx": 0, "end_idx": 4, "type": "sym", "entity": "肺内病变"}]},
]


CMEEE_READ = [("肺内病变", [("肺", "bod")]), ("肺内病变", [("肺内病变", "sym")])]


def cmeee(**changes: Any) -> list[dict[str, Any]]:
    good = {"text": "肺病", "entities": [{"start_idx": 0, "end_idx": 0, "type": "b", "entity": "肺"}]}
    item = {"start_idx": 0, "end_idx": 1, "type": "d", "entity": "肺病", **changes}
    return [good, {"text": "肺病", "entities": [{k: v for k, v in item.items() if v is not None}]}]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(CMEEE_1, [("研究证实", []), *CMEEE_READ], id="cmeee-inclusive"),
        pytest.param(CMEEE_2, CMEEE_READ, id="cmeee-exclusive"),
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.txt", "a"])
def test_records_are_detected_and_read(tmp_path: Path, name: str, content: object, expected: list[Read]) -> None:
    check_detected(tmp_path / name, "cmeee", content, expected)


MALFORMED: dict[str, tuple[str, Any, str]] = {
    "other-surface": (
        "cmeee",
        cmeee(entity="病"),
        '[1]: entities[0].entity says "病", but characters 0 to 2 of',
    ),
    "mixed-ends": ("cmeee", cmeee(end_idx=2), '[1]: entities[0].entity says "肺病", but characters 0 to 3 of'),
    "beyond-text": ("cmeee", cmeee(start_idx=1, end_idx=2), "[1]: entities[0].entity says"),
    "negative-start": ("cmeee", cmeee(start_idx=-2, end_idx=-1), "[1]: entities[0].entity says"),
    "no-surface": ("cmeee", cmeee(entity=None), '[1]: field "entities[0].entity" is missing; it must be a str'),
    "no-type": ("cmeee", cmeee(type=None), '[1]: field "entities[0].type" is missing; it must be a string.'),
    "empty-type": ("cmeee", cmeee(type=""), "[1]: entities[0].type is ''; name the entity's type"),
    "empty-entity": ("cmeee", cmeee(start_idx=0, end_idx=-1, entity=""), "[1]: entities[0].entity says"),
    "no-entities": ("cmeee", [{"text": "a"}], '[0]: field "entities" is missing; it must be a list.'),
    "empty": ("cmeee", "", ": the file holds no examples."),
}


@pytest.mark.parametrize("detected", [False, True])
@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_file_is_named(tmp_path: Path, name: str, detected: bool) -> None:
    check_malformed(tmp_path, *MALFORMED[name], detected=detected)
