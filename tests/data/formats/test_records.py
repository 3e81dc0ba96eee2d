import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from data_files import check_malformed, reading_error, write_file
from hf_globalpointer.data import DataError, read_examples


SPERT = [
    {
        "tokens": ["Ada", "Lovelace", "met", "Bob"],
        "entities": [{"type": "per", "start": 0, "end": 2}, {"type": "per", "start": 3, "end": 4}],
        "relations": [{"type": "met", "head": 0, "tail": 1}],
        "orig_id": 7,
    }
]


GOOD = {"text": "Ada met Bob", "entities": [{"start": 0, "end": 3, "label": "person"}]}


def spert(**changes: Any) -> list[dict[str, Any]]:
    return [{"tokens": ["a", "b"], "entities": [{"type": "x", "start": 0, "end": 1, **changes}]}]


@pytest.mark.parametrize(("before", "indent"), [("", None), ("", 2), ("\ufeff", None)])
def test_arrays_may_be_laid_out_in_any_way(tmp_path: Path, before: str, indent: int | None) -> None:
    texts = ['"[{', "\\", "\ud83d\ude00 é 😀", "a" * 100, "", "null", "\n"]
    records = [{"text": text, "entities": [], "n": [-1.5e-3, True, None], "id": i} for i, text in enumerate(texts)]
    examples = list(
        read_examples(write_file(tmp_path / "a.json", before + json.dumps(records, indent=indent)), "jsonl")
    )
    assert [example.id for example in examples] == list(range(len(texts)))
    assert [example.text for example in examples] == [*texts[:2], "😀 é 😀", *texts[3:]]


def test_arrays_are_read_as_far_as_asked(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.json", json.dumps(SPERT * 5000)[:-1])
    assert len(list(islice(read_examples(path), 5000))) == 5000
    with pytest.raises(DataError, match=r"a\.json\[5000\]: not valid JSON \(the array is cut off\)"):
        list(read_examples(path))


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
    path = write_file(tmp_path / "data.jsonl", good * 6 + line + b"\n" + good)
    assert reading_error(path).startswith(f"{path}:7: {message}")


@pytest.mark.parametrize(
    "line", ['{"text": "a", "entities": [], "n": ' + "1" * 5000 + "}", '{"text": "a", "entities": ' + "[" * 100_000]
)
def test_json_that_python_cannot_read_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "data.jsonl"
    path.write_text(line)
    with pytest.raises(DataError, match=r"data\.jsonl:1: JSON that cannot be read"):
        list(read_examples(path))


MALFORMED: dict[str, tuple[str, Any, str]] = {
    "field-twice": (
        "spert",
        '[{"tokens": ["a"], "entities": [], "entities": []}]',
        '[0]: field "entities" is given twice in one object; leave one.',
    ),
    "cut-in-record": ("spert", json.dumps(spert())[:-5], "[0]: not valid JSON (Expecting"),
    "cut-in-string": ("spert", json.dumps(spert())[:8], "[0]: not valid JSON (Unterminated string"),
    "cut-after-record": ("spert", json.dumps(spert())[:-1], "[1]: not valid JSON (the array is cut off)"),
    "cut-after-comma": ("spert", json.dumps(spert())[:-1] + ",", "[1]: not valid JSON (Expecting value at"),
    "cut-after-bracket": ("spert", "[", "[0]: not valid JSON (Expecting value at column 2)"),
    "ends-with-comma": ("spert", json.dumps(spert())[:-1] + ",]", "[1]: not valid JSON (the array ends with a"),
    "without-comma": (
        "spert",
        json.dumps(spert() * 2).replace("]}, {", "]} {"),
        "[1]: not valid JSON (a comma is",
    ),
    "records-without-comma": ("cmeee", '[{"text": "", "entities": []} {}]', "[1]: not valid JSON (a comma is"),
    "followed": ("spert", json.dumps(spert()) + "[]", "[1]: not valid JSON (something follows the array)"),
    "of-lists": ("spert", "[[], []]", "[0]: the record must be an object, got []."),
    "empty": ("spert", " [ ] ", ": the file holds no examples."),
    "latin1": ("spert", b'[{"tokens": ["\xe9"], "entities": []}]', ": not UTF-8 ("),
    "utf16": ("spert", json.dumps(spert()).encode("utf-16"), ":1: not UTF-8 ("),
    "too-deep": ("spert", "[" * 100_000, "[0]: JSON that cannot be read ("),
    "number-too-long": ("spert", '[{"n": ' + "1" * 5000 + "}]", "[0]: JSON that cannot be read ("),
    "bare-word": ("spert", '[\n{"n": nul}]', "[0]: not valid JSON (Expecting value at line 2 column 7)"),
}


@pytest.mark.parametrize("detected", [False, True])
@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_file_is_named(tmp_path: Path, name: str, detected: bool) -> None:
    check_malformed(tmp_path, *MALFORMED[name], detected=detected)


def test_unclosed_string_in_an_array_is_named_where_it_begins(tmp_path: Path) -> None:
    content = '[{"text": "a", "entities": []}, {"text: "b", "entities": []}]'
    with pytest.raises(DataError, match=r"a\.json\[1\]: not valid JSON \("):
        list(read_examples(write_file(tmp_path / "a.json", content)))
