"""Malformed files of every format: a `DataError` that names file, place and remedy."""

import json
from pathlib import Path
from typing import Any

import pytest

from hf_globalpointer.data import DataError, DataReport, read_examples
from hf_globalpointer.data.formats.reading import input_format


def entity(**changes: Any) -> list[dict[str, Any]]:
    return [{"start": 0, "end": 1, "label": "x", **changes}]


def cmeee(**changes: Any) -> list[dict[str, Any]]:
    good = {"text": "肺病", "entities": [{"start_idx": 0, "end_idx": 0, "type": "b", "entity": "肺"}]}
    item = {"start_idx": 0, "end_idx": 1, "type": "d", "entity": "肺病", **changes}
    return [good, {"text": "肺病", "entities": [{k: v for k, v in item.items() if v is not None}]}]


def spert(**changes: Any) -> list[dict[str, Any]]:
    return [{"tokens": ["a", "b"], "entities": [{"type": "x", "start": 0, "end": 1, **changes}]}]


def task(**changes: Any) -> list[dict[str, Any]]:
    value = {"start": 0, "end": 2, "text": "ab", "labels": ["x"], **changes}
    return [{"data": {"text": "ab c"}, "annotations": [{"result": [{"type": "labels", "value": value}]}]}]


def cluener(label: Any) -> dict[str, Any]:
    return {"text": "ab c", "label": label}


GOOD_COLUMNS = "a\tB-x\nb\tO\n\n"
CASES: dict[str, tuple[str, Any, str]] = {
    # Columns
    "columns-one": ("conll", GOOD_COLUMNS + "c\n", ":4: columns: 1, but the first line has 2, separated by tabs;"),
    "columns-three": ("conll", "a B-x\nb c O\n", ":2: columns: 3, but the first line has 2, separated by whitespace;"),
    "columns-blanks-for-tabs": (
        "conll",
        GOOD_COLUMNS + "c O\n",
        ":4: columns: 1, but the first line has 2, separated by",
    ),
    "columns-tabs-for-blanks": (
        "conll",
        "a O\nb\tO\n",
        ":2: columns: 1, but the first line has 2, separated by white",
    ),
    "columns-no-token": ("conll", GOOD_COLUMNS + "\tO\n", ":4: columns: 1, but the first line has 2"),
    "columns-no-tag": ("conll", GOOD_COLUMNS + "c\t\n", ":4: columns: 1, but the first line has 2"),
    "columns-blank-of-another-kind": ("conll", GOOD_COLUMNS + "\u3000\n", ":4: columns: 1, but the first line"),
    "columns-lower-case-tag": ("conll", GOOD_COLUMNS + "c\tb-x\n", ":4: column 2: 'b-x' is no tag; tags are O and"),
    "columns-tag-without-label": ("conll", GOOD_COLUMNS + "c\tB-\n", ":4: column 2: 'B-' is no tag;"),
    "columns-tag-without-dash": ("conll", GOOD_COLUMNS + "c\tBx\n", ":4: column 2: 'Bx' is no tag;"),
    "columns-unknown-letter": ("conll", GOOD_COLUMNS + "c\tX-x\n", ":4: column 2: 'X-x' is no tag;"),
    "columns-unprintable-label": ("conll", GOOD_COLUMNS + "c\tB-\x07\n", r":4: column 2: 'B-\x07' is no tag;"),
    "columns-bad-tag-in-a-layer": ("conll", "a\tO\tO\nb\tO\tO\nc\tBx\tO\n", ":3: column 2: 'Bx' is no tag;"),
    "columns-no-tags": ("conll", "a NN\nb VB\n", ": neither the last nor the first of 2 columns holds tags"),
    "columns-one-only": ("conll", "a\nb\n", ": neither the last nor the first of 1 columns holds tags"),
    "columns-latin1": ("conll", b"a O\n\xe9 O\n", ":2: not UTF-8 ("),
    "columns-utf16": ("conll", "a O\n".encode("utf-16"), ":1: not UTF-8 ("),
    "columns-empty": ("conll", "", ": the file holds no examples."),
    "columns-blank": ("conll", "\n \n-DOCSTART- O\n\n", ": the file holds no examples."),
    "columns-json": ("conll", '{"text": "a"}\n', ": neither the last nor the first of 2 columns"),
    "columns-cr-only": (
        "conll",
        "a\tB-x\rb\tO\r",
        ":1: a carriage return inside the line; end lines with a line feed",
    ),
    "columns-cr-inside": ("conll", GOOD_COLUMNS + "c\rd\tO\n", ":4: a carriage return inside the line;"),
    # JSON arrays
    "array-field-twice": (
        "spert",
        '[{"tokens": ["a"], "entities": [], "entities": []}]',
        '[0]: field "entities" is given twice in one object; leave one.',
    ),
    "array-cut-in-record": ("spert", json.dumps(spert())[:-5], "[0]: not valid JSON (Expecting"),
    "array-cut-in-string": ("spert", json.dumps(spert())[:8], "[0]: not valid JSON (Unterminated string"),
    "array-cut-after-record": ("spert", json.dumps(spert())[:-1], "[1]: not valid JSON (the array is cut off)"),
    "array-cut-after-comma": ("spert", json.dumps(spert())[:-1] + ",", "[1]: not valid JSON (Expecting value at"),
    "array-cut-after-bracket": ("spert", "[", "[0]: not valid JSON (Expecting value at column 2)"),
    "array-ends-with-comma": ("spert", json.dumps(spert())[:-1] + ",]", "[1]: not valid JSON (the array ends with a"),
    "array-without-comma": (
        "spert",
        json.dumps(spert() * 2).replace("]}, {", "]} {"),
        "[1]: not valid JSON (a comma is",
    ),
    "array-records-without-comma": ("cmeee", '[{"text": "", "entities": []} {}]', "[1]: not valid JSON (a comma is"),
    "array-followed": ("spert", json.dumps(spert()) + "[]", "[1]: not valid JSON (something follows the array)"),
    "array-of-lists": ("spert", "[[], []]", "[0]: the record must be an object, got []."),
    "array-empty": ("spert", " [ ] ", ": the file holds no examples."),
    "array-latin1": ("spert", b'[{"tokens": ["\xe9"], "entities": []}]', ": not UTF-8 ("),
    "array-utf16": ("spert", json.dumps(spert()).encode("utf-16"), ":1: not UTF-8 ("),
    "array-too-deep": ("spert", "[" * 100_000, "[0]: JSON that cannot be read ("),
    "array-number-too-long": ("spert", '[{"n": ' + "1" * 5000 + "}]", "[0]: JSON that cannot be read ("),
    "array-bare-word": ("spert", '[\n{"n": nul}]', "[0]: not valid JSON (Expecting value at line 2 column 7)"),
    # CMeEE
    "cmeee-other-surface": (
        "cmeee",
        cmeee(entity="病"),
        '[1]: entities[0].entity says "病", but characters 0 to 2 of',
    ),
    "cmeee-mixed-ends": ("cmeee", cmeee(end_idx=2), '[1]: entities[0].entity says "肺病", but characters 0 to 3 of'),
    "cmeee-beyond-text": ("cmeee", cmeee(start_idx=1, end_idx=2), "[1]: entities[0].entity says"),
    "cmeee-negative-start": ("cmeee", cmeee(start_idx=-2, end_idx=-1), "[1]: entities[0].entity says"),
    "cmeee-no-surface": ("cmeee", cmeee(entity=None), '[1]: field "entities[0].entity" is missing; it must be a str'),
    "cmeee-no-type": ("cmeee", cmeee(type=None), '[1]: field "entities[0].type" is missing; it must be a string.'),
    "cmeee-empty-type": ("cmeee", cmeee(type=""), "[1]: entities[0].type is ''; name the entity's type"),
    "cmeee-empty-entity": ("cmeee", cmeee(start_idx=0, end_idx=-1, entity=""), "[1]: entities[0].entity says"),
    "cmeee-no-entities": ("cmeee", [{"text": "a"}], '[0]: field "entities" is missing; it must be a list.'),
    "cmeee-empty": ("cmeee", "", ": the file holds no examples."),
    # CLUENER
    "cluener-other-surface": (
        "cluener",
        cluener({"x": {"c": [[0, 0]]}}),
        ':1: label.x says "c", but characters 0 to 1',
    ),
    "cluener-exclusive-end": (
        "cluener",
        cluener({"x": {"ab": [[0, 2]]}}),
        ':1: label.x says "ab", but characters 0 t',
    ),
    "cluener-beyond-text": ("cluener", cluener({"x": {"c": [[3, 4]]}}), ":1: label.x says"),
    "cluener-negative": ("cluener", cluener({"x": {"c": [[-1, -1]]}}), ":1: label.x says"),
    "cluener-field-twice": (
        "cluener",
        '{"text": "ab", "label": {"x": {"a": [[0, 0]]}, "x": {"b": [[1, 1]]}}}',
        ':1: field "x" is given twice in one object; leave one.',
    ),
    "cluener-pair": ("cluener", cluener({"x": {"ab": [0, 1]}}), ":1: label.x.ab must hold [start, end] pairs, got 0."),
    "cluener-strings": ("cluener", cluener({"x": {"ab": [["0", 1]]}}), ':1: label.x.ab must be an integer, got "0".'),
    "cluener-list": ("cluener", cluener([[0, 2, "x"]]), ":1: label must be an object, got [[0"),
    "cluener-empty-label": ("cluener", cluener({"": {"ab": [[0, 1]]}}), ":1: label. is ''; name the entity's type"),
    "cluener-no-label": ("cluener", {"text": "ab"}, ':1: field "label" is missing; it must be an object.'),
    # SpERT
    "spert-beyond-tokens": ("spert", spert(end=3), "[0]: entities[0] ('x') has start 0 and end 3; they must satisfy"),
    "spert-negative": ("spert", spert(start=-1), "[0]: entities[0] ('x') has start -1 and end 1;"),
    "spert-empty-entity": ("spert", spert(end=0), "[0]: entities[0] ('x') has start 0 and end 0;"),
    "spert-bool": ("spert", spert(end=True), "[0]: entities[0].end must be an integer, got true."),
    "spert-empty-token": ("spert", [{"tokens": [""], "entities": []}], "[0]: tokens[0] is ''; a token must be a str"),
    "spert-number-token": (
        "spert",
        [{"tokens": [1], "entities": []}],
        "[0]: tokens[0] is 1; a token must be a string",
    ),
    "spert-no-tokens": ("spert", [{"entities": []}], '[0]: field "tokens" is missing; it must be a list.'),
    "spert-list-id": (
        "spert",
        [{**spert()[0], "orig_id": [1]}],
        "[0]: orig_id must be a string or an integer, got [1]",
    ),
    # doccano
    "doccano-two-fields": (
        "doccano",
        {"text": "a", "label": [], "entities": []},
        ":1: entities stand in label and ent",
    ),
    "doccano-no-field": ("doccano", {"text": "a"}, ':1: field "label" is missing; it must be a list.'),
    "doccano-class": ("doccano", {"text": "a", "label": ["good"]}, ":1: label[0] must be [start, end, label], got"),
    "doccano-four": ("doccano", {"text": "a", "label": [[0, 1, "x", 2]]}, ":1: label[0] must be [start, end, label]"),
    "doccano-beyond-text": ("doccano", {"text": "a", "label": [[0, 2, "x"]]}, ":1: entities[0] ('x') has start 0 and"),
    "doccano-null": ("doccano", {"text": "a", "label": [[0, None, "x"]]}, ":1: label[0] must be an integer, got null"),
    "doccano-object": ("doccano", {"text": "a", "entities": [{"label": "x"}]}, ':1: field "entities[0].start_offset"'),
    # Label Studio
    "studio-other-surface": (
        "label-studio",
        task(text="ac"),
        '[0]: annotations[0].result[0].value says "ac", but cha',
    ),
    "studio-beyond-text": ("label-studio", task(end=9), "[0]: annotations[0].result[0].value says"),
    "studio-negative": ("label-studio", task(start=-2), "[0]: annotations[0].result[0].value says"),
    "studio-bool-start": (
        "label-studio",
        task(start=False),
        "[0]: annotations[0].result[0].value.start must be an int",
    ),
    "studio-min-other-surface": (
        "label-studio",
        [{"text": "ab", "label": [{"start": 0, "end": 1, "text": "b", "labels": ["x"]}]}],
        '[0]: label[0] says "b", but characters 0 to 1',
    ),
    "studio-min-unlabeled": ("label-studio", [{"text": "ab"}], '[0]: field "label" is missing; it must be a list.'),
    "studio-number-label": ("label-studio", task(labels=[1]), "[0]: annotations[0].result[0].value must be a string"),
    "studio-no-data": ("label-studio", [{"annotations": []}], '[0]: field "data" is missing; it must be an object.'),
    "studio-no-text": (
        "label-studio",
        [{"data": {"a": "x", "b": "y"}}],
        "[0]: data has no field text, and 2 other str",
    ),
    "studio-no-annotations": ("label-studio", [{"data": {"text": "a"}}], '[0]: field "annotations" is missing;'),
    "studio-no-result": (
        "label-studio",
        [{"data": {"text": "a"}, "annotations": [{}]}],
        '[0]: field "annotations[0].',
    ),
    "studio-only-unannotated": (
        "label-studio",
        [{"data": {"text": "a"}, "annotations": []}],
        ": the file holds no examples.",
    ),
    # JSON Lines; more of these are in test_reading.py
    "jsonl-beyond-text": (
        "jsonl",
        {"text": "a", "entities": entity(end=2)},
        ":1: entities[0] ('x') has start 0 and e",
    ),
    "jsonl-blank-label": ("jsonl", {"text": "a", "entities": entity(label=" ")}, ":1: entities[0].label is ' '; name"),
    "jsonl-bool-id": (
        "jsonl",
        {"text": "a", "entities": [], "id": True},
        ":1: id must be a string or an integer, got",
    ),
    "jsonl-pretty-printed": ("jsonl", json.dumps({"text": "a"}, indent=2), ":1: not valid JSON ("),
}


def write(path: Path, content: Any) -> Path:
    if not isinstance(content, bytes):
        content = (content if isinstance(content, str) else json.dumps(content)).encode()
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("name", CASES)
def test_malformed_file_is_named(tmp_path: Path, name: str) -> None:
    format, content, message = CASES[name]
    path = write(tmp_path / "data.json", content)
    with pytest.raises(DataError) as caught:
        list(read_examples(path, format, report=DataReport()))
    assert str(caught.value).startswith(f"{path}{message}")


@pytest.mark.parametrize("name", CASES)
def test_malformed_file_of_unknown_format_is_never_read_in_part(tmp_path: Path, name: str) -> None:
    path = write(tmp_path / "data.json", CASES[name][1])
    if name == "cluener-list":  # which is doccano's
        assert input_format(path) == "doccano"
        return
    with pytest.raises(DataError, match=r"data\.json"):
        list(read_examples(path))


BRAT: dict[str, tuple[dict[str, str | bytes], str]] = {
    "no-ann": ({"a.txt": "ab"}, "a.txt: there is no a.ann; add it, empty if the text has no entities."),
    "no-txt": ({"a.ann": "", "b.txt": "", "b.ann": ""}, "a.ann: there is no a.txt with its text; add it."),
    "no-files": ({}, ""),
    "other-surface": (
        {"a.txt": "ab", "a.ann": "T1\tx 0 1\tb\n"},
        'a.ann:1: T1 says "b", but characters 0 to 1 of the',
    ),
    "beyond-text": ({"a.txt": "ab", "a.ann": "T1\tx 1 3\tb\n"}, "a.ann:1: T1 says"),
    "empty-entity": ({"a.txt": "ab", "a.ann": "T1\tx 1 1\t\n"}, "a.ann:1: T1 says"),
    "negative": ({"a.txt": "ab", "a.ann": "T1\tx -1 1\ta\n"}, "a.ann:1: "),
    "twice": (
        {"a.txt": "ab", "a.ann": "T1\tx 0 1\ta\nT1\tx 1 2\tb\n"},
        "a.ann:2: T1 is given twice in the file; give one of the two another id.",
    ),
    "no-surface": ({"a.txt": "ab", "a.ann": "T1\tx 0 1\n"}, 'a.ann:1: "T1\\tx 0 1" must be an id, a type with start'),
    "blanks-for-tabs": ({"a.txt": "ab", "a.ann": "T1 x 0 1 a\n"}, "a.ann:1: "),
    "no-number": ({"a.txt": "ab", "a.ann": "T1\tx 0 b\ta\n"}, "a.ann:1: "),
    "number-of-another-script": ({"a.txt": "ab", "a.ann": "T1\tx \u0660 \u0661\ta\n"}, "a.ann:1: "),
    "number-without-end": ({"a.txt": "ab", "a.ann": f"T1\tx 0 {'1' * 5000}\ta\n"}, "a.ann:1: "),
    "unprintable-type": ({"a.txt": "ab", "a.ann": "T1\tx\x07 0 1\ta\n"}, r"a.ann:1: the type of T1 is 'x\x07'; name"),
    "piece-beyond-text": ({"a.txt": "ab", "a.ann": "T1\tx 0 1;5 6\ta c\n"}, "a.ann:1: T1 says"),
    "pieces-of-other-surface": (
        {"a.txt": "ab cd", "a.ann": "T1\tx 0 1;4 5\ta c\n"},
        'a.ann:1: T1 says "a c", but characters 0 to 1 and 4 to 5 of the text are "a d"; correct',
    ),
    "no-annotation": ({"a.txt": "ab", "a.ann": "\nper 0 1 a\n"}, 'a.ann:2: "per 0 1 a" is no annotation of brat;'),
    "latin1-text": ({"a.txt": b"\xe9", "a.ann": ""}, "a.txt: not UTF-8 ("),
    "latin1-ann": ({"a.txt": "ab", "a.ann": b"T1\tx 0 1\t\xe9"}, "a.ann:1: not UTF-8 ("),
    "newlines-counted-as-one": (
        {"a.txt": "a\r\nb", "a.ann": "T1\tx 2 3\tb\n"},
        'a.ann:1: T1 says "b", but characters 2 to 3 of the text are " "; correct the offsets. CR and LF count',
    ),
}


@pytest.mark.parametrize("name", BRAT)
def test_malformed_brat_folder_is_named(tmp_path: Path, name: str) -> None:
    files, message = BRAT[name]
    for file, content in files.items():
        write(tmp_path / file, content)
    with pytest.raises(DataError) as caught:
        list(read_examples(tmp_path, "brat", report=DataReport()))
    assert str(caught.value).startswith(f"{tmp_path}/{message}" if files else f"{tmp_path}: the folder holds no exam")


def test_line_of_ten_megabytes(tmp_path: Path) -> None:
    text = "word " * 2_000_000
    record = {"text": text, "entities": entity(start=len(text) - 5, end=len(text) - 1)}
    for content in (json.dumps(record) + "\n", json.dumps([record])):
        (example,) = read_examples(write(tmp_path / "a.json", content))
        assert (example.text == text, len(example.entities)) == (True, 1)
    with pytest.raises(DataError, match=r"a\.conll:1: columns: 2000000; if this is another format, name it"):
        list(read_examples(write(tmp_path / "a.conll", text), "conll"))
    (example,) = read_examples(write(tmp_path / "b.conll", "a" * 10_000_000 + " B-x\n"), "conll")
    assert len(example.text) == 10_000_000


def test_unclosed_string_in_an_array_is_named_where_it_begins(tmp_path: Path) -> None:
    content = '[{"text": "a", "entities": []}, {"text: "b", "entities": []}]'
    with pytest.raises(DataError, match=r"a\.json\[1\]: not valid JSON \("):
        list(read_examples(write(tmp_path / "a.json", content)))


def test_columns_are_not_read_from_a_pipe(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="/dev/null: columns are read twice"):
        list(read_examples("/dev/null", "conll"))
    with pytest.raises(DataError, match="/dev/null: not a regular file, so its format cannot be found out; name it"):
        list(read_examples("/dev/null"))


def test_brat_annotations_without_their_text(tmp_path: Path) -> None:
    path = write(tmp_path / "a.ann", "T1\tx 0 1\ta\n")
    with pytest.raises(DataError, match=r"a\.ann: there is no a\.txt with its text; add it\."):
        list(read_examples(path))


def test_remedy_holds_where_no_format_can_be_named(tmp_path: Path) -> None:
    for name, content in (("a.csv", "text"), ("a.conll", "a NN\n")):
        with pytest.raises(DataError, match="by `hf-globalpointer data convert --from`, or by `format` in Python"):
            list(read_examples(write(tmp_path / name, content)))
