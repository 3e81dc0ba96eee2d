import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hf_globalpointer.data import DataError, Entity, Example, read_examples
from hf_globalpointer.data.formats.reading import count_examples, input_format


GOOD = {"text": "Ada met Bob", "entities": [{"start": 0, "end": 3, "label": "person"}]}


def write(folder: Path, content: str | bytes, name: str = "data.jsonl") -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def with_entity(**changes: Any) -> dict[str, Any]:
    return {**GOOD, "entities": [GOOD["entities"][0], {"start": 8, "end": 11, "label": "person", **changes}]}


def error_of(path: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        list(read_examples(path, **options))
    return str(caught.value)


def test_example_carries_text_entities_id_and_source(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps({**GOOD, "id": "first"}) + "\n")
    assert list(read_examples(path)) == [
        Example("Ada met Bob", (Entity(0, 3, "person"),), id="first", source=f"{path}:1")
    ]


def test_path_may_be_a_string(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps(GOOD))
    assert [example.text for example in read_examples(str(path))] == ["Ada met Bob"]


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
    path = write(tmp_path, content)
    assert [(e.text, e.source) for e in read_examples(path)] == [
        ("a", f"{path}:{lines[0]}"),
        ("b", f"{path}:{lines[1]}"),
    ]


def test_other_fields_are_kept_in_their_order_and_make_no_difference(tmp_path: Path) -> None:
    record = {"tokens": [1], **with_entity(score=0.5, note=None), "meta": {"text": 3}, "id": 7}
    path = write(tmp_path, json.dumps(record))
    (example,) = read_examples(path)
    assert list(example.extra.items()) == [("tokens", [1]), ("meta", {"text": 3}), ("id", 7)]
    plain = Example("Ada met Bob", (Entity(0, 3, "person"), Entity(8, 11, "person")), 7, f"{path}:1")
    assert (example, hash(example)) == (plain, hash(plain))


@pytest.mark.parametrize(("given", "read"), [(7, 7), (0, 0), ("x-1", "x-1"), (None, None)])
def test_ids_stay_what_they_are(tmp_path: Path, given: Any, read: str | int | None) -> None:
    (example,) = read_examples(write(tmp_path, json.dumps({**GOOD, "id": given})))
    assert example.id == read


@pytest.mark.parametrize("escaped", [True, False])
def test_offsets_count_characters_not_bytes(tmp_path: Path, escaped: bool) -> None:
    text = "😀 Łódź\u2028東京 e\u0301"
    record = {
        "text": text,
        "entities": [{"start": 2, "end": 6, "label": "város"}, {"start": 7, "end": 9, "label": "市"}],
    }
    (example,) = read_examples(write(tmp_path, json.dumps(record, ensure_ascii=escaped)))
    assert example.text == text
    assert [(text[e.start : e.end], e.label) for e in example.entities] == [("Łódź", "város"), ("東京", "市")]


def test_blanks_of_the_text_are_kept(tmp_path: Path) -> None:
    (example,) = read_examples(write(tmp_path, json.dumps({"text": " a\r\n ", "entities": []})))
    assert example.text == " a\r\n "


def test_entities_may_span_the_whole_text(tmp_path: Path) -> None:
    (example,) = read_examples(write(tmp_path, '{"text": "ab", "entities": [{"start": 0, "end": 2, "label": "x"}]}'))
    assert example.entities == (Entity(0, 2, "x"),)


def test_entities_are_optional_without_labels(tmp_path: Path) -> None:
    path = write(tmp_path, f'{{"text": "only text"}}\n{json.dumps(GOOD)}')
    assert [e.entities for e in read_examples(path, labeled=False)] == [(), (Entity(0, 3, "person"),)]


def test_given_entities_are_checked_even_without_labels(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps(with_entity(start=11)))
    assert error_of(path, labeled=False).startswith(f"{path}:1: entities[1] ('person') has start 11 and end 11;")


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.ndjson", "a.JSONL"])
def test_suffix_tells_json_lines(tmp_path: Path, name: str) -> None:
    assert [e.text for e in read_examples(write(tmp_path, json.dumps(GOOD), name))] == ["Ada met Bob"]


def test_format_overrides_the_suffix(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps(GOOD), "a.txt")
    assert [e.text for e in read_examples(path, "jsonl")] == ["Ada met Bob"]
    assert [e.text for e in read_examples(path, labeled=False)] == [json.dumps(GOOD)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        pytest.param("one\ntwo\n", [("one", 1), ("two", 2)], id="plain"),
        pytest.param("\ufeffone\r\n\r\n  \r\ntwo", [("one", 1), ("", 2), ("  ", 3), ("two", 4)], id="bom-crlf-blank"),
        pytest.param("  one \n", [("  one ", 1)], id="blanks-kept"),
        pytest.param('{"text": "😀"}\nŁódź\u2028東京\n', [('{"text": "😀"}', 1), ("Łódź\u2028東京", 2)], id="unicode"),
    ],
)
def test_plain_text_is_one_example_a_line(tmp_path: Path, content: str, expected: list[tuple[str, int]]) -> None:
    path = write(tmp_path, content, "data.txt")
    assert list(read_examples(path, labeled=False)) == [Example(t, source=f"{path}:{n}") for t, n in expected]


@pytest.mark.parametrize("name", ["a.md", "a.MD", "a.log", "a.rst", "a"])
def test_other_plain_text_is_read_like_txt(tmp_path: Path, name: str) -> None:
    path = write(tmp_path, "# A title\n\nIt ends in S-Bahn\n", name)
    assert [e.text for e in read_examples(path, labeled=False)] == ["# A title", "", "It ends in S-Bahn"]


@pytest.mark.parametrize("record", [{"label": ["x"]}, {"label": {"x": 1}}, {"data": {"text": "b"}}, {"spans": []}])
def test_fields_that_other_formats_have_are_others_where_no_labels_are_needed(
    tmp_path: Path, record: dict[str, Any]
) -> None:
    path = write(tmp_path, json.dumps({"text": "a", **record}) + "\n" + json.dumps({"text": "c"}))
    assert [(e.text, e.extra) for e in read_examples(path, labeled=False)] == [("a", record), ("c", {})]


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
    path = write(tmp_path, gzip.compress(content.encode()), f"{name}.gz")
    (example,) = read_examples(path, labeled=labeled)
    assert example.text == "Ada met Bob"
    assert len(example.entities) == labeled
    assert str(example.source).startswith(f"{path}")


@pytest.mark.parametrize(
    "content", [b"Ada\n", gzip.compress(b"Ada\n" * 9)[:-9], gzip.compress(b"Ada\n")[:12] + b"x" * 9]
)
def test_damaged_compressed_files_are_named(tmp_path: Path, content: bytes) -> None:
    path = write(tmp_path, content, "a.txt.gz")
    assert error_of(path, labeled=False).startswith(f"{path}: not a whole gzip file (")


@pytest.mark.parametrize(("name", "delimiter"), [("a.csv", ","), ("a.tsv", "\t"), ("a.CSV", ",")])
def test_tables_hold_a_text_a_row(tmp_path: Path, name: str, delimiter: str) -> None:
    rows = [
        ["id", "text", "note"],
        ["1", '"Ada\nmet ""Bob"""', "x"],
        [],
        ["2", f'"a{delimiter}b\r\n"', ""],
        ["3", "", "é"],
    ]
    path = write(tmp_path, "\ufeff" + "\r\n".join(map(delimiter.join, rows)), name)
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
    assert [e.text for e in read_examples(write(tmp_path, f"text\n{text}", "a.csv"), labeled=False)] == [text]


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
    path = write(tmp_path, content, "a.csv")
    assert error_of(path, labeled=False).startswith(f"{path}{message}")


def test_tables_are_no_labeled_data(tmp_path: Path) -> None:
    path = write(tmp_path, "text\na\n", "a.csv")
    assert error_of(path, format="csv").startswith(f"{path}: a table of texts has no entities;")


@pytest.mark.parametrize("labeled", [True, False])
def test_tabs_part_columns_where_there_are_tags(tmp_path: Path, labeled: bool) -> None:
    path = write(tmp_path, "Ada\tB-person\nmet\tO\n", "a.tsv")
    assert [e.text for e in read_examples(path, labeled=labeled)] == ["Ada met"]


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
    path = write(tmp_path, gzip.compress(content.encode()) if suffix else content, name + suffix)
    assert count_examples(path, input_format(path, labeled=False)) == count


@pytest.mark.parametrize("labeled", [True, False])
def test_examples_before_a_broken_line_are_read(tmp_path: Path, labeled: bool) -> None:
    path = write(tmp_path, "".join(f"{json.dumps({**GOOD, 'id': i})}\n" for i in range(1, 7)) + '{"text": "a",\n')
    examples = read_examples(path, labeled=labeled)
    assert isinstance(examples, Iterator)
    assert [next(examples).id for _ in range(6)] == [1, 2, 3, 4, 5, 6]
    with pytest.raises(DataError) as caught:
        next(examples)
    assert str(caught.value).startswith(f"{path}:7: not valid JSON (")


def test_plain_text_before_a_broken_line_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, b"x\n" * 6 + b"\xff\n", "data.txt")
    examples = read_examples(path, labeled=False)
    assert [next(examples).text for _ in range(6)] == ["x"] * 6
    with pytest.raises(DataError) as caught:
        next(examples)
    assert str(caught.value).startswith(f"{path}:7: not UTF-8 (")


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
    path = write(tmp_path, f"{json.dumps(GOOD)}\n\n{json.dumps(record)}\n{json.dumps(GOOD)}\n")
    assert error_of(path).startswith(f"{path}:3: {message}")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        pytest.param(
            b'{"text": "a", "entities": []', "not valid JSON (Expecting ',' delimiter at column 29)", id="cut"
        ),
        pytest.param(b"{'text': 'a'}", "not valid JSON (", id="single-quotes"),
        pytest.param(b'{"text": "a"} {"text": "b"}', "not valid JSON (Extra data at column 15)", id="two-objects"),
        pytest.param(b'{"text": "\xe4", "entities": []}', "not UTF-8 (", id="latin-1"),
        pytest.param(b'\xef\xbb\xbf{"text": "a", "entities": []}', "not valid JSON (", id="bom-inside"),
    ],
)
def test_unreadable_line_is_named(tmp_path: Path, line: bytes, message: str) -> None:
    good = json.dumps(GOOD).encode() + b"\n"
    path = write(tmp_path, good * 6 + line + b"\n" + good)
    assert error_of(path).startswith(f"{path}:7: {message}")


def test_long_values_are_cut_in_messages(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps({"text": ["a" * 1000], "entities": []}))
    assert error_of(path) == f'{path}:1: text must be a string, got ["{"a" * 58}.'


@pytest.mark.parametrize("name", ["none.jsonl", "none.txt", "none.csv"])
def test_missing_file(tmp_path: Path, name: str) -> None:
    assert error_of(tmp_path / name) == f"{tmp_path / name}: no such file; check the path."


@pytest.mark.parametrize("format", [None, "jsonl"])
def test_folder_is_no_file(tmp_path: Path, format: str | None) -> None:
    assert error_of(tmp_path, format=format) == f"{tmp_path}: a folder; name a file in it."


@pytest.mark.parametrize(
    ("name", "content"), [("data.jsonl", ""), ("data.jsonl", "\n \r\n"), ("data.jsonl", "\ufeff"), ("data.txt", "")]
)
def test_file_without_examples(tmp_path: Path, content: str, name: str) -> None:
    path = write(tmp_path, content, name)
    assert error_of(path, labeled=False) == f"{path}: the file holds no examples."


@pytest.mark.parametrize(
    ("name", "content", "format"), [("a.csv", "some text", None), ("a", "text", None), ("a.jsonl", "{}", "iob")]
)
def test_unknown_format(tmp_path: Path, name: str, content: str, format: str | None) -> None:
    path = write(tmp_path, content, name)
    message = error_of(path, format=format)
    assert message.startswith(f"{path}: unknown format; name one of jsonl, conll, brat, cluener, cmeee, doccano, ")


@pytest.mark.parametrize(("name", "format"), [("a.txt", None), ("a.jsonl", "text")])
def test_plain_text_is_no_labeled_data(tmp_path: Path, name: str, format: str | None) -> None:
    path = write(tmp_path, "some text\n", name)
    assert error_of(path, format=format).startswith(f"{path}: plain text has no entities;")


@pytest.mark.parametrize(
    "line", ['{"text": "a", "entities": [], "n": ' + "1" * 5000 + "}", '{"text": "a", "entities": ' + "[" * 100_000]
)
def test_json_that_python_cannot_read_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(line)
    with pytest.raises(DataError, match=r"data\.jsonl:1: JSON that cannot be read"):
        list(read_examples(path))


@pytest.mark.parametrize(
    ("text", "entity", "message"),
    [
        (None, None, "text must be a string, got None."),
        (b"ab", None, "text must be a string, got b'ab'."),
        ("ab", Entity("0", 1, "x"), "entities[0] must have integers as start and end and a label, got Entity("),  # type: ignore[arg-type]
        ("ab", Entity(0, 1.0, "x"), "entities[0] must have integers as start and end"),  # type: ignore[arg-type]
        ("ab", Entity(0, 1, 7), "entities[0] must have integers as start and end and a label"),  # type: ignore[arg-type]
    ],
)
def test_examples_are_of_the_right_types(text: Any, entity: Entity | None, message: str) -> None:
    with pytest.raises(DataError) as caught:
        Example(text, (entity,) if entity else ())
    assert str(caught.value).startswith(message)
