import json
import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hf_globalpointer.data import DataError, DataReport, Entity, Example, read_examples, write_examples
from hf_globalpointer.data.formats.writing import WRITERS


ADA = Example("Ada Lovelace met Bob", (Entity(0, 12, "per"), Entity(17, 20, "per")))
NESTED = Example("Ada Lovelace met Bob", (Entity(0, 12, "per"), Entity(0, 3, "first name"), Entity(2, 14, "odd")))
ODD = Example(" a\r\n\u2028😀\u3000\ufeffe\u0301\t\x00 ", (Entity(0, 3, "b-x"), Entity(5, 6, "é")), id="é/ü")


def read(path: Path, **options: Any) -> list[Example]:
    return [replace(example, source=None) for example in read_examples(path, **options)]


def plain(example: Example) -> Example:
    """Without what columns do not hold."""
    return Example(example.text, tuple(sorted(set(example.entities))))


def error_of(examples: list[Example], path: Path, **options: Any) -> str:
    with pytest.raises(DataError) as caught:
        write_examples(examples, path, **options)
    assert not list(path.parent.glob(f"{path.name}*"))
    return str(caught.value)


def texts(seed: int, count: int, alphabet: str) -> Iterator[Example]:
    """Random texts with random entities; flat, from word to word, where the alphabet has a blank."""
    generator = random.Random(seed)
    for _ in range(count):
        text = " ".join("".join(generator.choices(alphabet, k=generator.randint(1, 4))) for _ in range(6))
        cuts = sorted(generator.sample([0, *(i + 1 for i, c in enumerate(text) if c == " "), len(text) + 1], k=4))
        entities = [Entity(a, b - 1, generator.choice("xyz")) for a, b in zip(cuts[::2], cuts[1::2], strict=True)]
        yield Example(text, tuple(entities))


def spans(seed: int, count: int) -> Iterator[Example]:
    """Random texts of odd characters with any spans as entities, and ids."""
    generator = random.Random(seed)
    for index in range(count):
        text = "".join(generator.choices('ab é東😀\n\r\t\u2028\u3000\ufeff\x00\x85"\\', k=generator.randint(1, 12)))
        pairs = [sorted(generator.choices(range(len(text) + 1), k=2)) for _ in range(4)]
        entities = [Entity(a, b, generator.choice(["x", "B-x", "é"])) for a, b in pairs if a < b]
        yield Example(text, tuple(entities), id=f"{index:04}")


@pytest.mark.parametrize("seed", range(5))
def test_json_lines_give_back_everything(tmp_path: Path, seed: int) -> None:
    examples = [
        *spans(seed, 100),
        ODD,
        NESTED,
        Example(""),
        replace(ADA, id=7),
        Example("\ud800a", (Entity(0, 1, "x"),)),
    ]
    write_examples(iter(examples), tmp_path / "a.jsonl")
    assert read(tmp_path / "a.jsonl") == examples


@pytest.mark.parametrize("seed", range(5))
def test_brat_gives_back_everything(tmp_path: Path, seed: int) -> None:
    examples = [*spans(seed, 100), ODD, replace(ADA, id="z")]
    write_examples(iter(examples), tmp_path / "a", "brat")
    assert read(tmp_path / "a") == sorted(examples, key=lambda example: str(example.id))


def test_brat_numbers_examples_without_id(tmp_path: Path) -> None:
    write_examples([ADA, replace(ADA, id=7), Example("")], tmp_path / "a", "brat")
    assert {path.name for path in (tmp_path / "a").iterdir()} == {
        f"{name}.{suffix}" for name in ("0000001", "7", "0000003") for suffix in ("txt", "ann")
    }
    assert (tmp_path / "a" / "7.ann").read_text() == "T1\tper 0 12\tAda Lovelace\nT2\tper 17 20\tBob\n"


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("alphabet", ["ab", "O-BIES[{", "ßé😀\"'\\#="])
def test_columns_give_back_text_and_flat_entities(tmp_path: Path, seed: int, alphabet: str) -> None:
    examples = list(texts(seed, 100, alphabet))
    write_examples(iter(examples), tmp_path / "a.conll")
    report = DataReport()
    assert [plain(e) for e in read(tmp_path / "a.conll", report=report)] == [plain(e) for e in examples]
    assert report.num_problems == 0


def test_columns_are_iob2(tmp_path: Path) -> None:
    write_examples([ADA, Example("a b", (Entity(0, 1, "x y"), Entity(2, 3, "x y")))], tmp_path / "a.conll")
    assert (tmp_path / "a.conll").read_bytes() == (
        b"Ada\tB-per\nLovelace\tI-per\nmet\tO\nBob\tB-per\n\na\tB-x y\nb\tB-x y\n\n"
    )


def test_columns_of_characters_give_back_chinese_text_without_blanks(tmp_path: Path) -> None:
    examples = [
        Example("李白生于701年", (Entity(0, 2, "人"), Entity(4, 8, "年"))),
        Example("見 iPhone 了"),
        Example("了"),
    ]
    write_examples(examples, tmp_path / "a.conll")
    lines = (tmp_path / "a.conll").read_text(encoding="utf-8").splitlines()
    assert lines[:9] == ["李\tB-人", "白\tI-人", "生\tO", "于\tO", "7\tB-年", "0\tI-年", "1\tI-年", "年\tI-年", ""]
    assert [plain(e) for e in read(tmp_path / "a.conll")] == [plain(e) for e in examples]
    # Only words longer than a character tell that there were blanks.
    assert "columns do not keep the whitespace" in error_of([Example("我 是")], tmp_path / "b.conll")


@pytest.mark.parametrize("text", ["Ada  met\nBob", " Ada met Bob", "Ada\u00a0met Bob\n"])
def test_columns_tell_where_blanks_change(tmp_path: Path, text: str) -> None:
    example = Example(
        text,
        (Entity(text.index("Ada"), text.index("Ada") + 3, "x"), Entity(text.index("Bob"), text.index("Bob") + 3, "y")),
    )
    report = DataReport()
    write_examples([example], tmp_path / "a.conll", report=report)
    assert report.problems == [f"{example.name}: columns do not keep the whitespace of the text."]
    assert read(tmp_path / "a.conll") == [Example("Ada met Bob", (Entity(0, 3, "x"), Entity(8, 11, "y")))]
    assert error_of([example], tmp_path / "b.conll").startswith(report.problems[0])


@pytest.mark.parametrize(
    ("example", "message"),
    [
        pytest.param(
            replace(ADA, entities=(Entity(0, 12, "per"), Entity(4, 12, "name"))),
            "'Ada Lovelace' (per, 0-12) and 'Lovelace' (name, 4-12) overlap;",
            id="nested",
        ),
        pytest.param(
            replace(ADA, entities=(Entity(0, 12, "per"), Entity(4, 16, "x"))),
            "'Ada Lovelace' (per, 0-12) and 'Lovelace met' (x, 4-16) overlap;",
            id="crossing",
        ),
        pytest.param(
            replace(ADA, entities=(Entity(0, 3, "a"), Entity(0, 3, "b"))),
            "'Ada' (a, 0-3) and 'Ada' (b, 0-3) overlap;",
            id="two-labels",
        ),
        pytest.param(replace(ADA, entities=(Entity(0, 4, "a"),)), "'Ada ' (a, 0-4) begins or ends", id="blank-after"),
        pytest.param(replace(ADA, entities=(Entity(3, 4, "a"),)), "' ' (a, 3-4) begins or ends", id="only-a-blank"),
        pytest.param(Example("a", (Entity(0, 1, "x "),)), "columns cannot hold the label 'x '; strip", id="label"),
        pytest.param(Example(" \n"), "the text is blank, and columns hold no text without tokens;", id="blank"),
        pytest.param(Example("-DOCSTART- a"), "columns cannot hold the token '-DOCSTART-'; write JSON", id="docstart"),
        pytest.param(Example("\ufeffa b"), r"columns cannot hold the token '\ufeffa'; write JSON Lines", id="bom"),
        pytest.param(Example("\ud800"), r"'\ud800' holds half of a surrogate pair; write JSON Lines.", id="surrogate"),
    ],
)
def test_columns_refuse_what_they_cannot_hold(tmp_path: Path, example: Example, message: str) -> None:
    example = replace(example, source="in.jsonl:3")
    assert error_of([ADA, example], tmp_path / "a.conll", report=DataReport()).startswith(f"in.jsonl:3: {message}")


@pytest.mark.parametrize(
    ("text", "words", "read_as"),
    [
        ("I live in Leeds.", ["Leeds"], "I live in Leeds ."),
        ("(Leeds) don't", ["Leeds"], "( Leeds ) don ' t"),
        ("我 是李白", ["李白"], "我是李白"),
        ("IL-2-dependent T-cells", ["IL-2", "cell"], "IL - 2 - dependent T - cell s"),
    ],
)
def test_columns_are_cut_where_words_and_entities_end(
    tmp_path: Path, text: str, words: list[str], read_as: str
) -> None:
    spans = [Entity(text.index(word), text.index(word) + len(word), "x") for word in words]
    report = DataReport()
    write_examples([ADA, Example(text, tuple(spans))], tmp_path / "a.conll", report=report)
    assert report.problems == [f"{text!r}: columns do not keep the whitespace of the text."]
    first, example = read(tmp_path / "a.conll")
    assert first == ADA
    assert example.text == read_as
    found = [example.text[entity.start : entity.end].replace(" ", "") for entity in example.entities]
    assert found == words


def test_brat_parts_entities_at_line_ends(tmp_path: Path) -> None:
    example = Example("\nleft\r\n lung\n", (Entity(1, 12, "x"), Entity(0, 13, "y")), id="a")
    write_examples([example], tmp_path / "a", "brat")
    assert (tmp_path / "a" / "a.ann").read_text() == "T1\tx 1 5;7 12\tleft  lung\nT2\ty 0 5;7 13\t left  lung \n"
    assert read(tmp_path / "a") == [example]


def test_brat_names_that_are_the_number_of_another(tmp_path: Path) -> None:
    message = error_of([ADA, replace(ADA, id="0000001")], tmp_path / "a", format="brat")
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
    assert error_of([ADA, *examples], tmp_path / "a", format="brat", report=DataReport()).startswith(message)


@pytest.mark.parametrize("format", WRITERS)
@pytest.mark.parametrize("label", ["", " ", "a\tb", "a\n"])
def test_labels_that_no_reader_takes_are_refused(tmp_path: Path, format: str, label: str) -> None:
    message = error_of([Example("a", (Entity(0, 1, label),))], tmp_path / "out", format=format)
    assert message == f"'a': the label is {label!r}; name the entity's type in printable characters."


@pytest.mark.parametrize("format", WRITERS)
def test_nothing_to_write(tmp_path: Path, format: str) -> None:
    assert error_of([], tmp_path / "out", format=format) == "there are no examples to write."


@pytest.mark.parametrize("format", WRITERS)
def test_output_has_its_name_only_once_it_is_whole(tmp_path: Path, format: str) -> None:
    def examples() -> Iterator[Example]:
        yield ADA
        assert not (tmp_path / "out").exists()
        assert (tmp_path / "out.partial").exists()
        yield ADA

    write_examples(examples(), tmp_path / "out", format)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_file_stays_what_it_was_if_writing_fails(tmp_path: Path) -> None:
    (tmp_path / "a.conll").write_text("old")
    with pytest.raises(DataError):
        write_examples([ADA, NESTED], tmp_path / "a.conll")
    assert [path.name for path in tmp_path.iterdir()] == ["a.conll"]
    assert (tmp_path / "a.conll").read_text() == "old"


@pytest.mark.parametrize("format", WRITERS)
def test_output_of_another_writer_is_left_to_it(tmp_path: Path, format: str) -> None:
    path = tmp_path / "out"

    def examples() -> Iterator[Example]:
        yield ADA
        with pytest.raises((DataError, BlockingIOError)):
            write_examples([Example("other")], path, format)
        yield ADA

    write_examples(examples(), path, format)
    assert [shown.name for shown in tmp_path.iterdir()] == ["out"]
    assert len(read(path, format=format)) == 2


def test_nothing_is_left_where_the_output_cannot_take_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(Path, "replace", fail)
    for format in WRITERS:
        with pytest.raises(OSError, match="busy"):
            write_examples([replace(ADA, id="a/b")], tmp_path / "out", format)
        assert not list(tmp_path.iterdir())


def test_file_may_be_converted_into_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    write_examples([ADA] * 100, path)
    write_examples(read_examples(path), path)
    assert read(path) == [ADA] * 100


def test_output_through_a_link_and_to_a_device(tmp_path: Path) -> None:
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "real.jsonl")
    write_examples([ADA], tmp_path / "link.jsonl")
    assert read(tmp_path / "real.jsonl") == [ADA]
    write_examples([ADA], "/dev/null", "jsonl")


@pytest.mark.parametrize(
    ("name", "format", "message"),
    [
        ("out", None, "cannot tell the format to write; name one of jsonl, conll, brat."),
        ("out.txt", None, "cannot tell the format to write; name one of jsonl, conll, brat."),
        ("out.jsonl", "spert", "cannot tell the format to write; name one of jsonl, conll, brat."),
    ],
)
def test_unknown_format(tmp_path: Path, name: str, format: str | None, message: str) -> None:
    assert error_of([ADA], tmp_path / name, format=format) == f"{tmp_path / name}: {message}"


def test_folders_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").touch()
    (tmp_path / "left.partial").mkdir()
    for name, format, message in (
        ("full", None, "full: exists and is not an empty folder; choose another or remove it."),
        ("full", "jsonl", "full: a folder; name a file."),
        ("left", "brat", "left.partial: left by a run that did not end, or in use by another; remove it."),
    ):
        with pytest.raises(DataError) as caught:
            write_examples([ADA], tmp_path / name, format)
        assert str(caught.value) == f"{tmp_path}/{message}"
    (tmp_path / "empty").mkdir()
    write_examples([replace(ADA, id="x")], tmp_path / "empty")
    assert read(tmp_path / "empty") == [replace(ADA, id="x")]


def test_characters_stay_readable(tmp_path: Path) -> None:
    write_examples([Example("東 é")], tmp_path / "a.jsonl")
    assert (tmp_path / "a.jsonl").read_text(encoding="utf-8") == json.dumps(
        {"text": "東 é", "entities": []}, ensure_ascii=False
    ) + "\n"
