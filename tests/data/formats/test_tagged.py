import json
from pathlib import Path
from typing import Any

import pytest

from data_files import ADA_READ, Read, check_detected, problems_of, read_texts, write_file
from hf_globalpointer.data import DataError, DataReport, read_examples


TAGGED = [{"id": "1", "tokens": ["Ada", "Lovelace", "met", "Bob"], "ner_tags": ["B-per", "I-per", "O", "B-per"]}]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param(TAGGED, [ADA_READ], id="ner-tags"),
        pytest.param(json.dumps({**TAGGED[0], "text": "Ada ..."}) + "\n", [ADA_READ], id="ner-tags-and-text"),
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.txt", "a"])
def test_records_are_detected_and_read(tmp_path: Path, name: str, content: object, expected: list[Read]) -> None:
    check_detected(tmp_path / name, "ner-tags", content, expected)


@pytest.mark.parametrize("tags", [["I-per", "I-per", "O", "I-per"], ["B-per", "L-per", "O", "U-per"]])
def test_tagged_records_may_have_any_scheme(tmp_path: Path, tags: list[str]) -> None:
    path = write_file(tmp_path / "a.jsonl", {**TAGGED[0], "ner_tags": tags})
    assert read_texts(path) == [ADA_READ]
    assert [(e.id, e.source) for e in read_examples(path)] == [("1", f"{path}:1")]


def test_tagged_records_count_tags_against_the_scheme(tmp_path: Path) -> None:
    records = [{"tokens": ["a", "b"], "ner_tags": ["B-x", "I-y"]}, {"tokens": ["c"], "ner_tags": ["B-x"]}]
    path = write_file(tmp_path / "a.jsonl", "".join(json.dumps(record) + "\n" for record in records))
    assert problems_of(path) == ["a.jsonl:1: token 1: I-y continues no y entity; it is read as beginning one."]
    assert read_texts(path, report=DataReport()) == [("a b", [("a", "x"), ("b", "y")]), ("c", [("c", "x")])]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"ner_tags": [1, 2, 0, 1]},
            "ner_tags[0] is 1, which has no name here; map numbers to their names with the features of the data set",
        ),
        ({"ner_tags": ["per", "O", "O", "O"]}, "ner_tags: 'per' is no tag; tags are O and B-label"),
        ({"ner_tags": ["O", "O"]}, "4 tokens, but 2 tags; give every token one."),
        ({"ner_tags": None}, "ner_tags must be a list, got null."),
        ({"tokens": ["Ada", "", "met", "Bob"]}, "tokens[1] is ''; a token must be a string, and not empty."),
        ({"id": [1]}, "id must be a string or an integer, got [1]."),
    ],
)
def test_tagged_records_that_cannot_be_used(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = write_file(tmp_path / "a.jsonl", json.dumps(TAGGED[0]) + "\n" + json.dumps({**TAGGED[0], **changes}))
    with pytest.raises(DataError) as caught:
        list(read_examples(path, report=DataReport()))
    assert str(caught.value).startswith(f"{path}:2: {message}")


def test_tags_are_not_read_where_labels_are_not_needed(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.jsonl", {**TAGGED[0], "ner_tags": [1, 2, 0, 1]})
    assert read_texts(path, labeled=False) == [(ADA_READ[0], [])]
