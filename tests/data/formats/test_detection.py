import json
from pathlib import Path
from typing import Any

import pytest

from data_files import reading_error, write_file
from hf_globalpointer.data import DataError, read_examples
from hf_globalpointer.data.formats.reading import input_format


GOOD = {"text": "Ada met Bob", "entities": [{"start": 0, "end": 3, "label": "person"}]}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.conll", "a NN\nb VB\n"),
        ("a.tsv", "a\tb\n"),
        ("a.bio", "a\n"),
        ("a.txt", "-DOCSTART-\n\na O\n"),
        ("a", "a\tB-x y\n"),
    ],
)
def test_columns_are_told_by_suffix_document_start_and_tabs(tmp_path: Path, name: str, content: str) -> None:
    assert input_format(write_file(tmp_path / name, content)) == "conll"


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.ndjson", "a.JSONL"])
def test_suffix_tells_json_lines(tmp_path: Path, name: str) -> None:
    assert [e.text for e in read_examples(write_file(tmp_path / name, json.dumps(GOOD)))] == ["Ada met Bob"]


def test_format_overrides_the_suffix(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.txt", json.dumps(GOOD))
    assert [e.text for e in read_examples(path, "jsonl")] == ["Ada met Bob"]
    assert [e.text for e in read_examples(path, labeled=False)] == [json.dumps(GOOD)]


@pytest.mark.parametrize("name", ["a.md", "a.MD", "a.log", "a.rst", "a"])
def test_other_plain_text_is_read_like_txt(tmp_path: Path, name: str) -> None:
    path = write_file(tmp_path / name, "# A title\n\nIt ends in S-Bahn\n")
    assert [e.text for e in read_examples(path, labeled=False)] == ["# A title", "", "It ends in S-Bahn"]


@pytest.mark.parametrize("record", [{"label": ["x"]}, {"label": {"x": 1}}, {"data": {"text": "b"}}, {"spans": []}])
def test_fields_that_other_formats_have_are_others_where_no_labels_are_needed(
    tmp_path: Path, record: dict[str, Any]
) -> None:
    path = write_file(tmp_path / "data.jsonl", json.dumps({"text": "a", **record}) + "\n" + json.dumps({"text": "c"}))
    assert [(e.text, e.extra) for e in read_examples(path, labeled=False)] == [("a", record), ("c", {})]


@pytest.mark.parametrize("labeled", [True, False])
def test_tabs_part_columns_where_there_are_tags(tmp_path: Path, labeled: bool) -> None:
    path = write_file(tmp_path / "a.tsv", "Ada\tB-person\nmet\tO\n")
    assert [e.text for e in read_examples(path, labeled=labeled)] == ["Ada met"]


@pytest.mark.parametrize(
    ("name", "content", "format"), [("a.csv", "some text", None), ("a", "text", None), ("a.jsonl", "{}", "iob")]
)
def test_unknown_format(tmp_path: Path, name: str, content: str, format: str | None) -> None:
    path = write_file(tmp_path / name, content)
    message = reading_error(path, format=format)
    assert message.startswith(f"{path}: unknown format; name one of jsonl, conll, brat, cluener, cmeee, doccano, ")


def test_remedy_holds_where_no_format_can_be_named(tmp_path: Path) -> None:
    for name, content in (("a.csv", "text"), ("a.conll", "a NN\n")):
        with pytest.raises(DataError, match="by `hf-globalpointer data convert --from`, or by `format` in Python"):
            list(read_examples(write_file(tmp_path / name, content)))
