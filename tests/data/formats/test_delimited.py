from pathlib import Path

import pytest

from data_files import reading_error, write_file
from hf_globalpointer.data import read_examples


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("a.tsv", "\t"), ("a.CSV", ",")])
def test_tables_hold_a_text_a_row(tmp_path: Path, name: str, delimiter: str) -> None:
    rows = [
        ["id", "text", "note"],
        ["1", '"Ada\nmet ""Bob"""', "x"],
        [],
        ["2", f'"a{delimiter}b\r\n"', ""],
        ["3", "", "é"],
    ]
    path = write_file(tmp_path / name, "\ufeff" + "\r\n".join(map(delimiter.join, rows)))
    examples = list(read_examples(path, labeled=False))
    assert [(e.text, e.id, e.source) for e in examples] == [
        ('Ada\nmet "Bob"', "1", f"{path}:2"),
        (f"a{delimiter}b\r\n", "2", f"{path}:5"),
        ("", "3", f"{path}:7"),
    ]
    assert [dict(e.extra) for e in examples] == [
        {"id": "1", "note": "x"},
        {"id": "2", "note": ""},
        {"id": "3", "note": "é"},
    ]


def test_a_field_of_a_table_may_be_long(tmp_path: Path) -> None:
    text = "a" * 1_000_000
    assert [e.text for e in read_examples(write_file(tmp_path / "a.csv", f"text\n{text}"), labeled=False)] == [text]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,body\n1,a\n", ":1: no column is named text; the columns are id, body. Rename that of the texts."),
        (b"text,id,id\na,1,2\n", ":1: two columns have one name (text, id, id); rename one."),
        (b"id,text\n1,a\n2,b,c\n", ":3: 3 fields, but the header has 2; put fields that hold delimiters"),
        (b'text\n"a\nb\n', ":2: not a row of fields (unexpected end of data); write double quotes"),
        (b'text\na\n"b"c\n', ":3: not a row of fields ("),
        (b"text\na\n\xe9\n", ":3: not UTF-8 ("),
        (b"", ": the file holds no examples."),
        (b"text\n", ": the file holds no examples."),
    ],
)
def test_malformed_tables_are_named(tmp_path: Path, content: bytes, message: str) -> None:
    path = write_file(tmp_path / "a.csv", content)
    assert reading_error(path, labeled=False).startswith(f"{path}{message}")


def test_tables_are_no_labeled_data(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.csv", "text\na\n")
    assert reading_error(path, format="csv").startswith(f"{path}: a table of texts has no entities;")
