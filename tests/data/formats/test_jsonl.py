import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data_files import (
    ADA,
    NESTED,
    ODD,
    Read,
    check_detected,
    check_malformed,
    random_examples,
    read_without_source,
    reading_error,
    write_file,
)
from hf_globalpointer.data import DataError, Entity, Example, read_examples, write_examples


GOOD = {"text": "Ada met Bob", "entities": [{"start": 0, "end": 3, "label": "person"}]}


def with_entity(**changes: Any) -> dict[str, Any]:
    return {**GOOD, "entities": [GOOD["entities"][0], {"start": 8, "end": 11, "label": "person", **changes}]}


def entity(**changes: Any) -> list[dict[str, Any]]:
    return [{"start": 0, "end": 1, "label": "x", **changes}]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param([{"text": "a", "entities": []}], [("a", [])], id="jsonl-array"),
        pytest.param([{"text": "a", "entities": [], "spans": []}], [("a", [])], id="jsonl-with-spans"),
        pytest.param('{"text": "a", "entities": []}\n' * 2, [("a", [])] * 2, id="no-entity-anywhere"),
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.txt", "a"])
def test_records_are_detected_and_read(tmp_path: Path, name: str, content: object, expected: list[Read]) -> None:
    check_detected(tmp_path / name, "jsonl", content, expected)


def test_example_carries_text_entities_id_and_source(tmp_path: Path) -> None:
    path = write_file(tmp_path / "data.jsonl", json.dumps({**GOOD, "id": "first"}) + "\n")
    assert list(read_examples(path)) == [
        Example("Ada met Bob", (Entity(0, 3, "person"),), id="first", source=f"{path}:1")
    ]


@pytest.mark.parametrize(
    ("content", "lines"),
    [
        pytest.param('{"text": "a", "entities": []}\n{"text": "b", "entities": []}\n', [1, 2], id="plain"),
        pytest.param('{"text": "a", "entities": []}\n{"text": "b", "entities": []}', [1, 2], id="no-last-newline"),
        pytest.param('\ufeff{"text": "a", "entities": []}\n{"text": "b", "entities": []}\n', [1, 2], id="bom"),
        pytest.param('{"text": "a", "entities": []}\r\n{"text": "b", "entities": []}\r\n', [1, 2], id="crlf"),
        pytest.param('\n \t\n{"text": "a", "entities": []}\n\n{"text": "b", "entities": []}\n', [3, 5], id="blank"),
        pytest.param(
            '\ufeff\r\n{"text": "a", "entities": []}\r\n{"text": "b", "entities": []}', [2, 3], id="bom-blank"
        ),
    ],
)
def test_file_layouts_of_json_lines(tmp_path: Path, content: str, lines: list[int]) -> None:
    path = write_file(tmp_path / "data.jsonl", content)
    assert [(e.text, e.source) for e in read_examples(path)] == [
        ("a", f"{path}:{lines[0]}"),
        ("b", f"{path}:{lines[1]}"),
    ]


def test_other_fields_are_kept_in_their_order_and_make_no_difference(tmp_path: Path) -> None:
    record = {"tokens": [1], **with_entity(score=0.5, note=None), "meta": {"text": 3}, "id": 7}
    path = write_file(tmp_path / "data.jsonl", json.dumps(record))
    (example,) = read_examples(path)
    assert list(example.extra.items()) == [("tokens", [1]), ("meta", {"text": 3}), ("id", 7)]
    plain = Example("Ada met Bob", (Entity(0, 3, "person"), Entity(8, 11, "person")), 7, f"{path}:1")
    assert (example, hash(example)) == (plain, hash(plain))


@pytest.mark.parametrize(("given", "read"), [(7, 7), (0, 0), ("x-1", "x-1"), (None, None)])
def test_ids_stay_what_they_are(tmp_path: Path, given: Any, read: str | int | None) -> None:
    (example,) = read_examples(write_file(tmp_path / "data.jsonl", json.dumps({**GOOD, "id": given})))
    assert example.id == read


@pytest.mark.parametrize("escaped", [True, False])
def test_offsets_count_characters_not_bytes(tmp_path: Path, escaped: bool) -> None:
    text = "😀 Łódź\u2028東京 e\u0301"
    record = {
        "text": text,
        "entities": [{"start": 2, "end": 6, "label": "város"}, {"start": 7, "end": 9, "label": "市"}],
    }
    (example,) = read_examples(write_file(tmp_path / "data.jsonl", json.dumps(record, ensure_ascii=escaped)))
    assert example.text == text
    assert [(text[e.start : e.end], e.label) for e in example.entities] == [("Łódź", "város"), ("東京", "市")]


def test_blanks_of_the_text_are_kept(tmp_path: Path) -> None:
    (example,) = read_examples(write_file(tmp_path / "data.jsonl", json.dumps({"text": " a\r\n ", "entities": []})))
    assert example.text == " a\r\n "


def test_entities_may_span_the_whole_text(tmp_path: Path) -> None:
    (example,) = read_examples(
        write_file(tmp_path / "data.jsonl", '{"text": "ab", "entities": [{"start": 0, "end": 2, "label": "x"}]}')
    )
    assert example.entities == (Entity(0, 2, "x"),)


def test_entities_are_optional_without_labels(tmp_path: Path) -> None:
    path = write_file(tmp_path / "data.jsonl", f'{{"text": "only text"}}\n{json.dumps(GOOD)}')
    assert [e.entities for e in read_examples(path, labeled=False)] == [(), (Entity(0, 3, "person"),)]


def test_given_entities_are_checked_even_without_labels(tmp_path: Path) -> None:
    path = write_file(tmp_path / "data.jsonl", json.dumps(with_entity(start=11)))
    assert reading_error(path, labeled=False).startswith(f"{path}:1: entities[1] ('person') has start 11 and end 11;")


@pytest.mark.parametrize("labeled", [True, False])
def test_examples_before_a_broken_line_are_read(tmp_path: Path, labeled: bool) -> None:
    path = write_file(
        tmp_path / "data.jsonl", "".join(f"{json.dumps({**GOOD, 'id': i})}\n" for i in range(1, 7)) + '{"text": "a",\n'
    )
    examples = read_examples(path, labeled=labeled)
    assert isinstance(examples, Iterator)
    assert [next(examples).id for _ in range(6)] == [1, 2, 3, 4, 5, 6]
    with pytest.raises(DataError) as caught:
        next(examples)
    assert str(caught.value).startswith(f"{path}:7: not valid JSON (")


@pytest.mark.parametrize(
    ("record", "message"),
    [
        pytest.param([GOOD], "the record must be an object, got [{", id="list-line"),
        pytest.param("text", 'the record must be an object, got "text".', id="string-line"),
        pytest.param(None, "the record must be an object, got null.", id="null-line"),
        pytest.param({"entities": []}, 'field "text" is missing; it must be a string.', id="no-text"),
        pytest.param({"text": 5, "entities": []}, "text must be a string, got 5.", id="number-text"),
        pytest.param({"text": None, "entities": []}, "text must be a string, got null.", id="null-text"),
        pytest.param({"text": ["a"], "entities": []}, 'text must be a string, got ["a"].', id="list-text"),
        pytest.param({"text": "a"}, 'field "entities" is missing; it must be a list.', id="no-entities"),
        pytest.param({"text": "a", "entities": {}}, "entities must be a list, got {}.", id="object-entities"),
        pytest.param({"text": "a", "entities": None}, "entities must be a list, got null.", id="null-entities"),
        pytest.param({"text": "a", "entities": ["é"]}, 'entities[0] must be an object, got "é".', id="string-entity"),
        pytest.param(
            {"text": "a", "entities": [[0, 1, "x"]]}, "entities[0] must be an object, got [0", id="list-entity"
        ),
        pytest.param(
            {"text": "a", "entities": [{"end": 1, "label": "x"}]},
            'field "entities[0].start" is missing; it must be an integer.',
            id="no-start",
        ),
        pytest.param(
            {"text": "a", "entities": [{"start": 0, "label": "x"}]},
            'field "entities[0].end" is missing; it must be an integer.',
            id="no-end",
        ),
        pytest.param(
            {"text": "a", "entities": [{"start": 0, "end": 1}]},
            'field "entities[0].label" is missing; it must be a string.',
            id="no-label",
        ),
        pytest.param(with_entity(start=True), "entities[1].start must be an integer, got true.", id="bool-start"),
        pytest.param(with_entity(start=8.0), "entities[1].start must be an integer, got 8.0.", id="float-start"),
        pytest.param(with_entity(start="8"), 'entities[1].start must be an integer, got "8".', id="string-start"),
        pytest.param(with_entity(end=False), "entities[1].end must be an integer, got false.", id="bool-end"),
        pytest.param(with_entity(end=None), "entities[1].end must be an integer, got null.", id="null-end"),
        pytest.param(with_entity(label=""), "entities[1].label is ''; name the entity's type in", id="empty-label"),
        pytest.param(with_entity(label="a\ud800"), r"entities[1].label is 'a\ud800'; name", id="surrogate-label"),
        pytest.param(with_entity(label="a\n"), r"entities[1].label is 'a\n'; name", id="control-label"),
        pytest.param({**GOOD, "id": [1]}, "id must be a string or an integer, got [1].", id="list-id"),
        pytest.param(with_entity(label=3), "entities[1].label must be a string, got 3.", id="number-label"),
        pytest.param(with_entity(end=7), "entities[1] ('person') has start 8 and end 7;", id="end-before-start"),
        pytest.param(with_entity(end=8), "entities[1] ('person') has start 8 and end 8;", id="empty-entity"),
        pytest.param(
            with_entity(end=12),
            "entities[1] ('person') has start 8 and end 12; they must satisfy 0 <= start < end <= 11,",
            id="end-beyond-text",
        ),
        pytest.param(with_entity(start=-1), "entities[1] ('person') has start -1 and end 11;", id="negative-start"),
    ],
)
def test_bad_record_is_named_by_line_and_field(tmp_path: Path, record: Any, message: str) -> None:
    path = write_file(tmp_path / "data.jsonl", f"{json.dumps(GOOD)}\n\n{json.dumps(record)}\n{json.dumps(GOOD)}\n")
    assert reading_error(path).startswith(f"{path}:3: {message}")


def test_long_values_are_cut_in_messages(tmp_path: Path) -> None:
    path = write_file(tmp_path / "data.jsonl", json.dumps({"text": ["a" * 1000], "entities": []}))
    assert reading_error(path) == f'{path}:1: text must be a string, got ["{"a" * 58}.'


MALFORMED: dict[str, tuple[str, Any, str]] = {
    "beyond-text": (
        "jsonl",
        {"text": "a", "entities": entity(end=2)},
        ":1: entities[0] ('x') has start 0 and e",
    ),
    "blank-label": ("jsonl", {"text": "a", "entities": entity(label=" ")}, ":1: entities[0].label is ' '; name"),
    "bool-id": (
        "jsonl",
        {"text": "a", "entities": [], "id": True},
        ":1: id must be a string or an integer, got",
    ),
    "pretty-printed": ("jsonl", json.dumps({"text": "a"}, indent=2), ":1: not valid JSON ("),
}


@pytest.mark.parametrize("detected", [False, True])
@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_file_is_named(tmp_path: Path, name: str, detected: bool) -> None:
    check_malformed(tmp_path, *MALFORMED[name], detected=detected)


@pytest.mark.parametrize("seed", range(5))
def test_json_lines_give_back_everything(tmp_path: Path, seed: int) -> None:
    examples = [
        *random_examples(seed, 100),
        ODD,
        NESTED,
        Example(""),
        replace(ADA, id=7),
        Example("\ud800a", (Entity(0, 1, "x"),)),
    ]
    write_examples(iter(examples), tmp_path / "a.jsonl")
    assert read_without_source(tmp_path / "a.jsonl") == examples


def test_characters_stay_readable(tmp_path: Path) -> None:
    write_examples([Example("東 é")], tmp_path / "a.jsonl")
    assert (tmp_path / "a.jsonl").read_text(encoding="utf-8") == json.dumps(
        {"text": "東 é", "entities": []}, ensure_ascii=False
    ) + "\n"
