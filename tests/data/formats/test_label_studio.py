import json
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
    problems_of,
    read_texts,
    read_without_source,
    write_file,
)
from hf_globalpointer.data import DataReport, Example, read_examples, write_examples
from hf_globalpointer.data.formats.reading import input_format


def task(text: str, *regions: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"text": text}, "annotations": [{"id": 5, "result": list(regions)}], **more}


def region(start: Any, end: Any, *labels: str, **more: Any) -> dict[str, Any]:
    return {"type": "labels", "from_name": "l", "value": {"start": start, "end": end, "labels": list(labels), **more}}


TASK = task(
    ADA_READ[0],
    region(0, 12, "per", text="Ada Lovelace"),
    region(17, 20, "per"),
    {"type": "choices", "value": {"choices": ["good"]}},
    {"type": "relation", "from_id": "a", "to_id": "b"},
)


JSON_MIN = [
    {
        "id": 1,
        "text": ADA_READ[0],
        "label": [{"start": s, "end": e, "text": ADA_READ[0][s:e], "labels": [label]} for s, e, label in ADA_ROWS],
        "annotator": 1,
        "annotation_id": 1,
    }
]


def task_of(**changes: Any) -> list[dict[str, Any]]:
    value = {"start": 0, "end": 2, "text": "ab", "labels": ["x"], **changes}
    return [{"data": {"text": "ab c"}, "annotations": [{"result": [{"type": "labels", "value": value}]}]}]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param([TASK], [ADA_READ], id="label-studio"),
        pytest.param("[\n  " + json.dumps(TASK, indent=4) + "\n]\n", [ADA_READ], id="pretty"),
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.txt", "a"])
def test_records_are_detected_and_read(tmp_path: Path, name: str, content: object, expected: list[Read]) -> None:
    check_detected(tmp_path / name, "label-studio", content, expected)


@pytest.mark.parametrize(
    ("content", "expected", "left"),
    [
        pytest.param(
            [task("ab", region(0, 1, "x")), {"id": 2, "data": {"text": "c"}, "annotations": []}],
            ["a.json[1]: the task has no annotation; it is left out."],
            [("ab", [("a", "x")])],
            id="no-annotation",
        ),
        pytest.param(
            [
                task("ab", region(0, 1, "x")),
                task("ab", annotations=[{"was_canceled": True, "result": [region(0, 1, "x")]}]),
            ],
            ["a.json[1]: the task has no annotation; it is left out."],
            [("ab", [("a", "x")])],
            id="canceled",
        ),
        pytest.param(
            [task("ab", annotations=[{"result": [region(0, 1, "x")]}, {"result": []}])],
            ["a.json[0]: the task has 2 annotations; the first is read."],
            [("ab", [("a", "x")])],
            id="two-annotations",
        ),
        pytest.param(
            [task("ab", region(0, 1), region(1, 2, "x"))],
            [
                "a.json[0]: annotations[0].result[0].value has no labels "
                '({"start": 0, "end": 1, "labels": []}); it is left out.'
            ],
            [("ab", [("b", "x")])],
            id="no-labels",
        ),
        pytest.param(
            [task("ab", {"type": "hypertextlabels", "value": {"start": "/p[1]", "end": "/p[1]"}}, region(1, 2, "x"))],
            [
                "a.json[0]: annotations[0].result[0].value is no span of the text "
                '({"start": "/p[1]", "end": "/p[1]"}); it is left out.'
            ],
            [("ab", [("b", "x")])],
            id="html",
        ),
    ],
)
def test_label_studio_counts_what_is_no_span(
    tmp_path: Path, content: object, expected: list[str], left: list[Read]
) -> None:
    path = write_file(tmp_path / "a.json", content)
    assert problems_of(path) == expected
    assert read_texts(path, report=DataReport()) == left


def test_label_studio_offsets_may_be_utf16_units(tmp_path: Path) -> None:
    regions = [region(3, 5, "x", text="ab"), region(0, 2, "y", text="💩"), region(2, 4, "z", text="ab")]
    assert read_texts(write_file(tmp_path / "a.json", [task("💩 ab", *regions)])) == [
        ("💩 ab", [("ab", "x"), ("💩", "y"), ("ab", "z")])
    ]


def test_label_studio_takes_the_only_string_and_several_labels(tmp_path: Path) -> None:
    content = [{"data": {"body": "ab", "n": 3}, "completions": [{"result": [region(0, 1, "x", "y")]}]}]
    assert read_texts(write_file(tmp_path / "a.json", content)) == [("ab", [("a", "x"), ("a", "y")])]


def test_label_studio_json_min(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.json", [*JSON_MIN, {"id": 2, "text": "none", "annotation_id": 2}])
    assert input_format(path) == "label-studio"
    assert read_texts(path) == [ADA_READ, ("none", [])]
    assert problems_of(path) == []


MALFORMED: dict[str, tuple[str, Any, str]] = {
    "other-surface": (
        "label-studio",
        task_of(text="ac"),
        '[0]: annotations[0].result[0].value says "ac", but cha',
    ),
    "beyond-text": ("label-studio", task_of(end=9), "[0]: annotations[0].result[0].value says"),
    "negative": ("label-studio", task_of(start=-2), "[0]: annotations[0].result[0].value says"),
    "bool-start": (
        "label-studio",
        task_of(start=False),
        "[0]: annotations[0].result[0].value.start must be an int",
    ),
    "min-other-surface": (
        "label-studio",
        [{"text": "ab", "label": [{"start": 0, "end": 1, "text": "b", "labels": ["x"]}]}],
        '[0]: label[0] says "b", but characters 0 to 1',
    ),
    "min-unlabeled": ("label-studio", [{"text": "ab"}], '[0]: field "label" is missing; it must be a list.'),
    "number-label": ("label-studio", task_of(labels=[1]), "[0]: annotations[0].result[0].value must be a string"),
    "no-data": ("label-studio", [{"annotations": []}], '[0]: field "data" is missing; it must be an object.'),
    "no-text": (
        "label-studio",
        [{"data": {"a": "x", "b": "y"}}],
        "[0]: data has no field text, and 2 other str",
    ),
    "no-annotations": ("label-studio", [{"data": {"text": "a"}}], '[0]: field "annotations" is missing;'),
    "no-result": (
        "label-studio",
        [{"data": {"text": "a"}, "annotations": [{}]}],
        '[0]: field "annotations[0].',
    ),
    "only-unannotated": (
        "label-studio",
        [{"data": {"text": "a"}, "annotations": []}],
        ": the file holds no examples.",
    ),
}


@pytest.mark.parametrize("detected", [False, True])
@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_file_is_named(tmp_path: Path, name: str, detected: bool) -> None:
    check_malformed(tmp_path, *MALFORMED[name], detected=detected)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    examples = [ADA, NESTED, ODD, Example("\ud83d", id=3)]
    write_examples(examples, tmp_path / "a.json", "label-studio")
    assert read_without_source(tmp_path / "a.json") == examples


def test_predictions_are_written_as_such(tmp_path: Path) -> None:
    write_examples([ADA, Example("none")], tmp_path / "a.json", "label-studio", predicted=True)
    values = [
        {"start": 0, "end": 12, "text": "Ada Lovelace", "labels": ["per"]},
        {"start": 17, "end": 20, "text": "Bob", "labels": ["per"]},
    ]
    names = {"from_name": "label", "to_name": "text", "type": "labels"}
    regions = [{"id": f"entity-{index}", **names, "value": value} for index, value in enumerate(values)]
    assert json.loads((tmp_path / "a.json").read_text()) == [
        {"data": {"text": ADA.text}, "predictions": [{"result": regions}]},
        {"data": {"text": "none"}, "predictions": [{"result": []}]},
    ]
    # They are no annotations, so that nobody trains on them by mistake.
    assert not any(example.entities for example in read_examples(tmp_path / "a.json", labeled=False))
