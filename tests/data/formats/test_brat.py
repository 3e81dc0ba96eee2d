from dataclasses import replace
from pathlib import Path

import pytest

from data_files import (
    ADA,
    ADA_READ,
    NESTED,
    ODD,
    problems_of,
    random_examples,
    read_texts,
    read_without_source,
    write_file,
    writing_error,
)
from hf_globalpointer.data import DataError, DataReport, Entity, Example, read_examples, write_examples
from hf_globalpointer.data.formats.reading import input_format


ANN = "T1\tper 0 12\tAda Lovelace\nT2\tper 17 20\tBob\nR1\tmet Arg1:T1 Arg2:T2\n#1\tAnnotatorNotes T1\tsure\n\n"


def test_brat_folder_and_file(tmp_path: Path) -> None:
    for name in ("b", "a", "sub/c"):
        write_file(tmp_path / f"{name}.txt", ADA_READ[0])
        write_file(tmp_path / f"{name}.ann", ANN)
    write_file(tmp_path / "annotation.conf", "[entities]\nper\n")
    assert input_format(tmp_path) == "brat"
    assert read_texts(tmp_path) == [ADA_READ] * 3
    assert [(e.id, e.source) for e in read_examples(tmp_path)] == [
        (name, str(tmp_path / f"{name}.txt")) for name in ("a", "b", "sub/c")
    ]
    assert read_texts(tmp_path / "a.txt") == [ADA_READ]
    assert [example.id for example in read_examples(tmp_path / "a.txt")] == ["a"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_brat_counts_every_character(tmp_path: Path, end: str) -> None:
    text = f"\ufeff😀{end}Ada{end}Bob"
    start = text.index("Ada")
    write_file(tmp_path / "a.txt", text)
    write_file(tmp_path / "a.ann", f"T1\tper {start} {len(text)}\tAda{' ' * len(end)}Bob{end}T2\tempty 0 2\t\ufeff😀")
    assert read_texts(tmp_path) == [(text, [(f"Ada{end}Bob", "per"), ("\ufeff😀", "empty")])]


def test_brat_counts_discontinuous_entities(tmp_path: Path) -> None:
    write_file(tmp_path / "a.txt", "left and right lung")
    write_file(tmp_path / "a.ann", "T1\tbody 0 4;15 19\tleft lung\nT2\tbody 9 19\tright lung\n")
    path = tmp_path / "a.txt"
    assert problems_of(path) == ["a.ann:1: 'left lung' (body, 0 4;15 19) is discontinuous; it is left out."]
    assert read_texts(path, report=DataReport()) == [("left and right lung", [("right lung", "body")])]


def test_brat_joins_pieces_that_only_blanks_part(tmp_path: Path) -> None:
    write_file(tmp_path / "a.txt", "left\r\n lung here")
    write_file(tmp_path / "a.ann", "T1\tbody 0 4;7 11\tleft lung\nT2\tx 0 2;2 4\tle ft\n")
    assert read_texts(tmp_path) == [("left\r\n lung here", [("left\r\n lung", "body"), ("left", "x")])]
    assert read_texts(tmp_path / "a.ann") == read_texts(tmp_path / "a.txt")
    assert input_format(tmp_path / "a.ann") == "brat"


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
        write_file(tmp_path / file, content)
    with pytest.raises(DataError) as caught:
        list(read_examples(tmp_path, "brat", report=DataReport()))
    assert str(caught.value).startswith(f"{tmp_path}/{message}" if files else f"{tmp_path}: the folder holds no exam")


def test_brat_annotations_without_their_text(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.ann", "T1\tx 0 1\ta\n")
    with pytest.raises(DataError, match=r"a\.ann: there is no a\.txt with its text; add it\."):
        list(read_examples(path))


@pytest.mark.parametrize("seed", range(5))
def test_brat_gives_back_everything(tmp_path: Path, seed: int) -> None:
    examples = [*random_examples(seed, 100), ODD, replace(ADA, id="z")]
    write_examples(iter(examples), tmp_path / "a", "brat")
    assert read_without_source(tmp_path / "a") == sorted(examples, key=lambda example: str(example.id))


def test_brat_numbers_examples_without_id(tmp_path: Path) -> None:
    write_examples([ADA, replace(ADA, id=7), Example("")], tmp_path / "a", "brat")
    assert {path.name for path in (tmp_path / "a").iterdir()} == {
        f"{name}.{suffix}" for name in ("0000001", "7", "0000003") for suffix in ("txt", "ann")
    }
    assert (tmp_path / "a" / "7.ann").read_text() == "T1\tper 0 12\tAda Lovelace\nT2\tper 17 20\tBob\n"


def test_brat_parts_entities_at_line_ends(tmp_path: Path) -> None:
    example = Example("\nleft\r\n lung\n", (Entity(1, 12, "x"), Entity(0, 13, "y")), id="a")
    write_examples([example], tmp_path / "a", "brat")
    assert (tmp_path / "a" / "a.ann").read_text() == "T1\tx 1 5;7 12\tleft  lung\nT2\ty 0 5;7 13\t left  lung \n"
    assert read_without_source(tmp_path / "a") == [example]


def test_brat_names_that_are_the_number_of_another(tmp_path: Path) -> None:
    message = writing_error([ADA, replace(ADA, id="0000001")], tmp_path / "a", format="brat")
    assert message.startswith("0000001: 0000001.txt is there already, of an example with this id or number;")


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        (
            [replace(ADA, id="x"), replace(ADA, id="x")],
            "x: x.txt is there already, of an example with this id or number; give each example an id of its own.",
        ),
        ([replace(ADA, id="../x")], "../x: the id '../x' names no file in the folder;"),
        ([replace(ADA, id="/x")], "/x: the id '/x' names no file in the folder;"),
        ([replace(ADA, id="")], ": the id '' names no file in the folder;"),
        ([replace(ADA, id="a\x00")], "a\x00: the id 'a\\x00' names no file in the folder;"),
        ([replace(ADA, id="x" * 300)], f"{'x' * 300}: the id"),
        ([NESTED], "'Ada Lovelace met Bob': a type in brat has no whitespace, but 'first name' has; rename it."),
        ([Example("\ud800", id=1)], "1: the text holds half of a surrogate pair; write JSON Lines."),
    ],
)
def test_brat_refuses_what_it_cannot_hold(tmp_path: Path, examples: list[Example], message: str) -> None:
    assert writing_error([ADA, *examples], tmp_path / "a", format="brat", report=DataReport()).startswith(message)
