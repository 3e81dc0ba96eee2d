import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from data_files import read_texts, reading_error, write_file
from hf_globalpointer.data import DataError, read_examples
from hf_globalpointer.data.formats.reading import count_examples, input_format


SPERT = [
    {
        "tokens": ["Ada", "Lovelace", "met", "Bob"],
        "entities": [{"type": "per", "start": 0, "end": 2}, {"type": "per", "start": 3, "end": 4}],
        "relations": [{"type": "met", "head": 0, "tail": 1}],
        "orig_id": 7,
    }
]


CLUENER = {"text": "叶老桂认为:叶老桂", "label": {"name": {"叶老桂": [[0, 2], [6, 8]]}, "word": {"认为": [[3, 4]]}}}


GOOD = {"text": "Ada met Bob", "entities": [{"start": 0, "end": 3, "label": "person"}]}


def entity(**changes: Any) -> list[dict[str, Any]]:
    return [{"start": 0, "end": 1, "label": "x", **changes}]


def test_ids_and_places_of_records(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.json", SPERT * 2)
    assert [(e.id, e.source) for e in read_examples(path)] == [(7, f"{path}[0]"), (7, f"{path}[1]")]
    path = write_file(tmp_path / "b.json", json.dumps({**CLUENER, "id": "x"}) + "\n")
    assert [(e.id, e.source) for e in read_examples(path)] == [("x", f"{path}:1")]


def test_entities_may_be_missing_where_labels_are_not_needed(tmp_path: Path) -> None:
    for format in ("cluener", "cmeee", "doccano", "jsonl"):
        assert read_texts(write_file(tmp_path / "a.json", {"text": "x"}), format=format, labeled=False) == [("x", [])]
    assert read_texts(write_file(tmp_path / "a.json", {"tokens": ["x"]}), labeled=False) == [("x", [])]
    assert read_texts(write_file(tmp_path / "a.json", {"data": {"text": "x"}}), labeled=False) == [("x", [])]
    assert read_texts(write_file(tmp_path / "a.txt", "x\n"), format="brat", labeled=False) == [("x\n", [])]


def test_path_may_be_a_string(tmp_path: Path) -> None:
    path = write_file(tmp_path / "data.jsonl", json.dumps(GOOD))
    assert [example.text for example in read_examples(str(path))] == ["Ada met Bob"]


@pytest.mark.parametrize(
    ("name", "content", "labeled"),
    [
        ("a.jsonl", json.dumps(GOOD) + "\n", True),
        ("a.json", json.dumps([GOOD]), True),
        ("a.conll", "Ada B-person\nmet O\nBob O\n", True),
        ("a.txt", "Ada met Bob\n", False),
        ("a.csv", "text\nAda met Bob\n", False),
        ("a", "Ada met Bob\n", False),
    ],
)
def test_compressed_files_are_read_as_what_they_hold(tmp_path: Path, name: str, content: str, labeled: bool) -> None:
    path = write_file(tmp_path / f"{name}.gz", gzip.compress(content.encode()))
    (example,) = read_examples(path, labeled=labeled)
    assert example.text == "Ada met Bob"
    assert len(example.entities) == labeled
    assert str(example.source).startswith(f"{path}")


@pytest.mark.parametrize(
    ("name", "content", "count"),
    [
        ("a.txt", "a\n\nb", 3),
        ("a.jsonl", '{"text": "a"}\n\n{"text": "b"}\n', 2),
        ("a.json", '[\n{"text": "a"}\n]', None),
        ("a.csv", 'text\n"a\nb"\n', None),
    ],
)
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_examples_are_counted_where_they_are_lines(
    tmp_path: Path, name: str, content: str, count: int | None, suffix: str
) -> None:
    path = write_file(tmp_path / (name + suffix), gzip.compress(content.encode()) if suffix else content)
    assert count_examples(path, input_format(path, labeled=False)) == count


@pytest.mark.parametrize("name", ["none.jsonl", "none.txt", "none.csv"])
def test_missing_file(tmp_path: Path, name: str) -> None:
    assert reading_error(tmp_path / name) == f"{tmp_path / name}: no such file; check the path."


@pytest.mark.parametrize("format", [None, "jsonl"])
def test_folder_is_no_file(tmp_path: Path, format: str | None) -> None:
    assert reading_error(tmp_path, format=format) == f"{tmp_path}: a folder; name a file in it."


@pytest.mark.parametrize(
    ("name", "content"), [("data.jsonl", ""), ("data.jsonl", "\n \r\n"), ("data.jsonl", "\ufeff"), ("data.txt", "")]
)
def test_file_without_examples(tmp_path: Path, content: str, name: str) -> None:
    path = write_file(tmp_path / name, content)
    assert reading_error(path, labeled=False) == f"{path}: the file holds no examples."


def test_line_of_ten_megabytes(tmp_path: Path) -> None:
    text = "word " * 2_000_000
    record = {"text": text, "entities": entity(start=len(text) - 5, end=len(text) - 1)}
    for content in (json.dumps(record) + "\n", json.dumps([record])):
        (example,) = read_examples(write_file(tmp_path / "a.json", content))
        assert (example.text == text, len(example.entities)) == (True, 1)
    with pytest.raises(DataError, match=r"a\.conll:1: columns: 2000000; if this is another format, name it"):
        list(read_examples(write_file(tmp_path / "a.conll", text), "conll"))
    (example,) = read_examples(write_file(tmp_path / "b.conll", "a" * 10_000_000 + " B-x\n"), "conll")
    assert len(example.text) == 10_000_000
