from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data_files import (
    ADA,
    ADA_READ,
    check_malformed,
    problems_of,
    random_flat_examples,
    read_texts,
    read_without_source,
    write_file,
    writing_error,
)
from hf_globalpointer.data import DataError, DataReport, Entity, Example, read_examples, write_examples
from hf_globalpointer.data.formats.reading import input_format


COLUMNS = {
    "iob2": "Ada B-per\nLovelace I-per\nmet O\nBob B-per\n",
    "iob1": "Ada I-per\nLovelace I-per\nmet O\nBob I-per\n",
    "bioes": "Ada B-per\nLovelace E-per\nmet O\nBob S-per\n",
    "bilou": "Ada B-per\nLovelace L-per\nmet O\nBob U-per\n",
    "bmes": "Ada B-per\nLovelace E-per\nmet O\nBob S-per\n",
    "tabs": "Ada\tB-per\nLovelace\tI-per\nmet\tO\nBob\tB-per\n",
    "several-blanks": "Ada   B-per\nLovelace  I-per\nmet O\nBob B-per  \n",
    "crlf-and-bom": "\ufeffAda B-per\r\nLovelace I-per\r\nmet O\r\nBob B-per\r\n\r\n",
    "tag-first": "B-per\tAda\nI-per\tLovelace\nO\tmet\nB-per\tBob\n",
    "conll2003": "-DOCSTART- -X- -X- O\n\nAda N B-NP B-per\nLovelace N I-NP I-per\nmet V B-VP O\nBob N B-NP B-per\n",
    "chunks-without-pos": "Ada B-NP B-per\nLovelace I-NP I-per\nmet B-VP O\nBob B-NP B-per\n",
    "numbered": "1\tAda\tB-per\n2\tLovelace\tI-per\n3\tmet\tO\n4\tBob\tB-per\n",
    "comments": "# sent_id = 1\nAda B-per\nLovelace I-per\nmet O\nBob B-per\n",
    "empty-layer": "Ada\tO\tB-per\nLovelace\tO\tI-per\nmet\tO\tO\nBob\tO\tB-per\n",
}


GERMEVAL = (
    "#\thttp://de.wikipedia.org/wiki/Schartau [2009-10-17]\n"
    "1\tSchartau\tB-PER\tO\n2\tlebt\tO\tO\n3\tin\tO\tO\n4\tBonn\tB-LOC\tO\n\n"
    "#\thttp://de.wikipedia.org/wiki/Bonn [2009-10-17]\n1\tBonner\tB-LOCderiv\tB-x\n2\tUni\tO\tI-x\n\n"
)


GOOD_COLUMNS = "a\tB-x\nb\tO\n\n"


def test_lines_without_a_blank_one_are_a_problem(tmp_path: Path) -> None:
    lines = "a B-x\n" + "b O\n" * 1000
    path = write_file(tmp_path / "a.conll", lines)
    (problem,) = problems_of(path)
    assert "no blank line in 1001 lines, so they are read as one text; put one after each sentence." in problem
    assert not problems_of(write_file(tmp_path / "b.conll", lines[:-4]))
    assert not problems_of(write_file(tmp_path / "c.conll", f"{lines}\na O\n"))


def plain(example: Example) -> Example:
    """Without what columns do not hold."""
    return Example(example.text, tuple(sorted(set(example.entities))))


@pytest.mark.parametrize("suffix", [".txt", ".conll", ".bio", ".json", ""])
@pytest.mark.parametrize("name", COLUMNS)
def test_columns(tmp_path: Path, name: str, suffix: str) -> None:
    path = write_file(tmp_path / f"data{suffix}", COLUMNS[name])
    assert input_format(path) == "conll"
    assert read_texts(path) == [ADA_READ]
    assert problems_of(path) == []


def test_blank_lines_and_document_starts_part_sentences(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.conll", "\n\na B-x\n \n\nb I-x\n-DOCSTART- O\nc O\n\n")
    report = DataReport()
    examples = list(read_examples(path, report=report))
    assert [(example.text, example.source) for example in examples] == [
        ("a", f"{path}:3"),
        ("b", f"{path}:6"),
        ("c", f"{path}:8"),
    ]
    assert [p.removeprefix(f"{path}:") for p in report.problems] == [
        "6: I-x continues no x entity; it is read as beginning one."
    ]


def test_iob1_parts_neighbors_with_b(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.conll", "a I-x\nb B-x\nc I-x\nd I-y\n\ne I-x\n")
    assert read_texts(path) == [("a b c d", [("a", "x"), ("b c", "x"), ("d", "y")]), ("e", [("e", "x")])]
    assert problems_of(path) == []


def test_layers_of_tags_are_nested_entities(tmp_path: Path) -> None:
    lines = "IL-2\tB-protein\tB-DNA\tO\ngene\tO\tI-DNA\tO\nin\tO\tO\tO\nT\tB-cell\tO\tO\ncells\tI-cell\tO\tO\n"
    path = write_file(tmp_path / "genia.iob2", lines)
    assert read_texts(path) == [
        ("IL-2 gene in T cells", [("IL-2", "protein"), ("T cells", "cell"), ("IL-2 gene", "DNA")])
    ]


def test_layers_may_cross_and_each_has_its_own_scheme(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.conll", "a\tB-x\tO\nb\tI-x\tI-y\nc\tO\tI-y\nd\tO\tB-y\n")
    assert read_texts(path) == [("a b c d", [("a b", "x"), ("b c", "y"), ("d", "y")])]
    assert problems_of(path) == []


def test_tokens_may_be_brackets_tags_and_blanks_of_other_kinds(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.txt", "[ O\n{ O\nO B-x\nB-cell I-x\n\u3000 O\n\u00a0 O\n")
    assert read_texts(path) == [("[ { O B-cell \u3000 \u00a0", [("O B-cell", "x")])]


def test_labels_may_hold_dashes_and_blanks(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.conll", "a\tB-cell-type\nb\tB-cell line\n")
    assert read_texts(path) == [("a b", [("a", "cell-type"), ("b", "cell line")])]


@pytest.mark.parametrize(
    ("lines", "entities", "expected"),
    [
        pytest.param(
            "a B-x\nb O\nc I-x\nd B-x",
            [("a", "x"), ("c", "x"), ("d", "x")],
            ["3: I-x continues no x entity; it is read as beginning one."],
            id="inside-without-begin",
        ),
        pytest.param(
            "a B-x\nb I-y\nc I-y\nd I-x",
            [("a", "x"), ("b c", "y"), ("d", "x")],
            [
                "2: I-y continues no y entity; it is read as beginning one.",
                "4: I-x continues no x entity; it is read as beginning one.",
            ],
            id="label-changes-inside",
        ),
        pytest.param(
            "a S-x\nb E-x\nc O\nd O",
            [("a", "x"), ("b", "x")],
            ["2: E-x continues no x entity; it is read as beginning one."],
            id="end-without-begin",
        ),
        pytest.param(
            "a B-x\nb I-x\nc O\nd S-x",
            [("a b", "x"), ("d", "x")],
            ["2: the x entity has no last tag; it is read as ending here."],
            id="begin-without-end",
        ),
        pytest.param(
            "a B-x\nb B-x\nc E-x\nd B-x",
            [("a", "x"), ("b c", "x"), ("d", "x")],
            [
                "1: the x entity has no last tag; it is read as ending here.",
                "4: the x entity has no last tag; it is read as ending here.",
            ],
            id="begin-after-begin-and-at-the-end",
        ),
        pytest.param(
            "a B-x\nb E-y\nc S-y\nd I-y",
            [("a", "x"), ("b", "y"), ("c", "y"), ("d", "y")],
            [
                "1: the x entity has no last tag; it is read as ending here.",
                "2: E-y continues no y entity; it is read as beginning one.",
                "4: I-y continues no y entity; it is read as beginning one.",
                "4: the y entity has no last tag; it is read as ending here.",
            ],
            id="label-changes-at-the-end",
        ),
    ],
)
def test_tags_against_the_scheme_are_counted_and_lose_nothing(
    tmp_path: Path, lines: str, entities: list[tuple[str, str]], expected: list[str]
) -> None:
    path = write_file(tmp_path / "a.conll", lines)
    assert read_texts(path, report=DataReport()) == [("a b c d", entities)]
    assert problems_of(path) == [f"a.conll:{line}" for line in expected]


def test_entity_given_twice_counts_once(tmp_path: Path) -> None:
    report = DataReport()
    path = write_file(tmp_path / "a.conll", "a\tB-x\tB-x\n")
    (example,) = read_examples(path, report=report)
    assert set(example.entities) == {Entity(0, 1, "x")}
    assert report.num_entities == 1


def test_column_that_numbers_tokens_is_not_read(tmp_path: Path) -> None:
    expected = [
        ("Schartau lebt in Bonn", [("Schartau", "PER"), ("Bonn", "LOC")]),
        ("Bonner Uni", [("Bonner", "LOCderiv"), ("Bonner Uni", "x")]),
    ]
    path = write_file(tmp_path / "a.tsv", GERMEVAL)
    assert input_format(path) == "conll"
    assert read_texts(path) == expected
    from_0 = "".join(
        f"{int(line[0]) - 1}{line[1:]}" if line[:1].isdigit() else line for line in GERMEVAL.splitlines(keepends=True)
    )
    assert read_texts(write_file(tmp_path / "b.tsv", from_0)) == expected
    assert problems_of(path) == []


def test_tokens_that_are_numbers_are_tokens(tmp_path: Path) -> None:
    assert read_texts(write_file(tmp_path / "a.conll", "1\tO\n2\tB-x\n")) == [("1 2", [("2", "x")])]
    assert read_texts(write_file(tmp_path / "b.conll", "1\tO\tO\n2\tB-x\tB-y\n")) == [
        ("1 2", [("2", "x"), ("2", "y")])
    ]
    assert read_texts(write_file(tmp_path / "c.conll", "1 CD O\n2 CD B-x\n\n2 CD O\n")) == [
        ("1 2", [("2", "x")]),
        ("2", []),
    ]


@pytest.mark.parametrize(
    "comment", ["# newdoc", "#\thttp://a/b [2009-10-17]", "# id = 1", "#", "# a sentence, as it was"]
)
@pytest.mark.parametrize("between", ["\t", " "])
def test_comments_before_a_sentence_are_passed_over(tmp_path: Path, comment: str, between: str) -> None:
    lines = f"{comment}\na{between}B-x\n\n{comment}\n#{between}B-x\n#b{between}O\n"
    path = write_file(tmp_path / "a.txt", lines)
    assert input_format(path) == "conll"
    assert read_texts(path) == [("a", [("a", "x")]), ("# #b", [("#", "x")])]


@pytest.mark.parametrize("phrases", [("NC", "VC"), ("PC", "ADVC"), ("ADJC", "CONJC"), ("NP", "VP")])
def test_chunks_are_no_entities(tmp_path: Path, phrases: tuple[str, str]) -> None:
    first, second = phrases
    lines = f"Ada Ada NE I-{first} I-PER\nlebt leben VVFIN I-{second} O\nBob Bob NE B-{first} I-PER\n"
    assert read_texts(write_file(tmp_path / "a.conll", lines)) == [("Ada lebt Bob", [("Ada", "PER"), ("Bob", "PER")])]


@pytest.mark.parametrize(
    ("lines", "entities"),
    [
        pytest.param("a\tB-x\t_\nb\tI-x\tB-y\nc\tO\t_\nd\tO\t_\n", [("a b", "x"), ("b", "y")], id="inner"),
        pytest.param("a\tB-x\t_\nb\tI-x\t_\nc\tO\t_\nd\tO\t_\n", [("a b", "x")], id="nothing-inside"),
        pytest.param("a\tB-x\nb\tI-x\nc\t_\nd\t_\n", [("a b", "x")], id="one-layer"),
        pytest.param("B-x B-y a\nI-x O b\nO O c\nO O d\n", [("a b", "x"), ("a", "y")], id="tags-first"),
    ],
)
def test_no_layer_is_lost(tmp_path: Path, lines: str, entities: list[tuple[str, str]]) -> None:
    path = write_file(tmp_path / "a.conll", lines)
    assert read_texts(path) == [("a b c d", entities)]
    assert problems_of(path) == []


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        (
            "a\t-\tB-x\nb\tB-y\tO\nc\t-\tO\nd\t-\tO\n",
            ["a.conll: column 2 holds tags, but also '-', so it is not read; "],
        ),
        (
            "B-x\t-\ta\nO\t-\tb\nO\tB-y\tc\nO\t-\td\n",
            ["a.conll: column 2 holds tags, but also '-', so it is not read; "],
        ),
        # Lemmas are no tags, though one may look like one.
        ("a\ta\tB-x\nB-52\tB-52\tO\nc\tc\tO\nd\td\tO\n", []),
    ],
)
def test_column_that_may_be_a_layer_is_counted(tmp_path: Path, lines: str, expected: list[str]) -> None:
    found = problems_of(write_file(tmp_path / "a.conll", lines))
    assert [problem[: len(start)] for problem, start in zip(found, expected, strict=True)] == expected


def test_columns_without_any_tag_are_no_entities(tmp_path: Path) -> None:
    lines = "1\tAda\tAda\tPROPN\t_\n2\tmet\tmeet\tVERB\t_\n3\tBob\tBob\tPROPN\t_\n"
    with pytest.raises(DataError, match="neither the last nor the first of 5 columns holds a tag "):
        list(read_examples(write_file(tmp_path / "a.conll", lines)))


def test_blanks_around_tags_are_no_part_of_them(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.conll", "a\tB-x \nb\t I-x\nc\tO \nd\tB-y z \n")
    assert read_texts(path) == [("a b c d", [("a b", "x"), ("d", "y z")])]
    assert problems_of(path) == []


def test_bare_document_starts_part_sentences(tmp_path: Path) -> None:
    path = write_file(tmp_path / "a.txt", "-DOCSTART-\n\na B-x\n\n-DOCSTART-\n\nb O\n")
    assert read_texts(path) == [("a", [("a", "x")]), ("b", [])]


MALFORMED: dict[str, tuple[str, Any, str]] = {
    "one": ("conll", GOOD_COLUMNS + "c\n", ":4: columns: 1, but the first line has 2, separated by tabs;"),
    "three": ("conll", "a B-x\nb c O\n", ":2: columns: 3, but the first line has 2, separated by whitespace;"),
    "blanks-for-tabs": (
        "conll",
        GOOD_COLUMNS + "c O\n",
        ":4: columns: 1, but the first line has 2, separated by",
    ),
    "tabs-for-blanks": (
        "conll",
        "a O\nb\tO\n",
        ":2: columns: 1, but the first line has 2, separated by white",
    ),
    "no-token": ("conll", GOOD_COLUMNS + "\tO\n", ":4: column 1 is empty"),
    "no-tag": ("conll", GOOD_COLUMNS + "c\t\n", ":4: column 2 is empty"),
    "blank-of-another-kind": ("conll", GOOD_COLUMNS + "\u3000\n", ":4: columns: 1, but the first line"),
    "lower-case-tag": ("conll", GOOD_COLUMNS + "c\tb-x\n", ":4: column 2: 'b-x' is no tag; tags are O and"),
    "tag-without-label": ("conll", GOOD_COLUMNS + "c\tB-\n", ":4: column 2: 'B-' is no tag;"),
    "tag-without-dash": ("conll", GOOD_COLUMNS + "c\tBx\n", ":4: column 2: 'Bx' is no tag;"),
    "unknown-letter": ("conll", GOOD_COLUMNS + "c\tX-x\n", ":4: column 2: 'X-x' is no tag;"),
    "unprintable-label": ("conll", GOOD_COLUMNS + "c\tB-\x07\n", r":4: column 2: 'B-\x07' is no tag;"),
    "bad-tag-in-a-layer": ("conll", "a\tO\tO\nb\tO\tO\nc\tBx\tO\n", ":3: column 2: 'Bx' is no tag;"),
    "no-tags": ("conll", "a NN\nb VB\n", ": neither the last nor the first of 2 columns holds a tag "),
    "one-only": ("conll", "a\nb\n", ": neither the last nor the first of 1 columns holds a tag "),
    "latin1": ("conll", b"a O\n\xe9 O\n", ":2: not UTF-8 ("),
    "binary": (
        "conll",
        b"a\tO\n\x00\x01\xff\xfe\n",
        ":2: not UTF-8 ('utf-8' codec can't decode byte 0xff in position 2: invalid start byte), but UTF-16 or no",
    ),
    "utf16": ("conll", "a O\n".encode("utf-16"), ":1: not UTF-8 ("),
    "empty": ("conll", "", ": the file holds no examples."),
    "blank": ("conll", "\n \n-DOCSTART- O\n\n", ": the file holds no examples."),
    "json": ("conll", '{"text": "a"}\n', ": neither the last nor the first of 2 columns"),
    "cr-only": (
        "conll",
        "a\tB-x\rb\tO\r",
        ":1: a carriage return inside the line; end lines with a line feed",
    ),
    "cr-inside": ("conll", GOOD_COLUMNS + "c\rd\tO\n", ":4: a carriage return inside the line;"),
}


@pytest.mark.parametrize("detected", [False, True])
@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_file_is_named(tmp_path: Path, name: str, detected: bool) -> None:
    check_malformed(tmp_path, *MALFORMED[name], detected=detected)


def test_columns_are_not_read_from_a_pipe(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="/dev/null: columns are read twice"):
        list(read_examples("/dev/null", "conll"))
    with pytest.raises(DataError, match="/dev/null: not a regular file, so its format cannot be found out; name it"):
        list(read_examples("/dev/null"))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("alphabet", ["ab", "O-BIES[{", "ßé😀\"'\\#="])
def test_columns_give_back_text_and_flat_entities(tmp_path: Path, seed: int, alphabet: str) -> None:
    examples = list(random_flat_examples(seed, 100, alphabet))
    write_examples(iter(examples), tmp_path / "a.conll")
    report = DataReport()
    assert [plain(e) for e in read_without_source(tmp_path / "a.conll", report=report)] == [plain(e) for e in examples]
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
    assert [plain(e) for e in read_without_source(tmp_path / "a.conll")] == [plain(e) for e in examples]
    # Only words longer than a character tell that there were blanks.
    assert "columns do not keep the whitespace" in writing_error([Example("我 是")], tmp_path / "b.conll")


@pytest.mark.parametrize("text", ["Ada  met\nBob", " Ada met Bob", "Ada\u00a0met Bob\n"])
def test_columns_tell_where_blanks_change(tmp_path: Path, text: str) -> None:
    example = Example(
        text,
        (Entity(text.index("Ada"), text.index("Ada") + 3, "x"), Entity(text.index("Bob"), text.index("Bob") + 3, "y")),
    )
    report = DataReport()
    write_examples([example], tmp_path / "a.conll", report=report)
    assert report.problems == [f"{example.name}: columns do not keep the whitespace of the text."]
    assert read_without_source(tmp_path / "a.conll") == [
        Example("Ada met Bob", (Entity(0, 3, "x"), Entity(8, 11, "y")))
    ]
    assert writing_error([example], tmp_path / "b.conll").startswith(report.problems[0])


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
    assert writing_error([ADA, example], tmp_path / "a.conll", report=DataReport()).startswith(
        f"in.jsonl:3: {message}"
    )


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
    random_examples = [Entity(text.index(word), text.index(word) + len(word), "x") for word in words]
    report = DataReport()
    write_examples([ADA, Example(text, tuple(random_examples))], tmp_path / "a.conll", report=report)
    assert report.problems == [f"{text!r}: columns do not keep the whitespace of the text."]
    first, example = read_without_source(tmp_path / "a.conll")
    assert first == ADA
    assert example.text == read_as
    found = [example.text[entity.start : entity.end].replace(" ", "") for entity in example.entities]
    assert found == words
