"""Each format: what is read of a well-formed file, and what is counted as a problem."""

import json
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from hf_globalpointer.data import DataError, DataReport, Entity, Example, read_dataset, read_examples
from hf_globalpointer.data.formats.reading import input_format


Read = tuple[str, list[tuple[str, str]]]


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    path.write_bytes(text.encode())
    return path


def shown(example: Example) -> Read:
    return example.text, [(example.text[e.start : e.end], e.label) for e in example.entities]


def read(path: Path, **options: Any) -> list[Read]:
    return [shown(example) for example in read_examples(path, **options)]


def problems(path: Path) -> list[str]:
    """The problems of a file, which without a report are errors, the first of them named."""
    report = DataReport()
    examples = list(read_examples(path, report=report))
    assert report.num_examples == len(examples)
    assert report.num_entities == sum(len(example.entities) for example in examples)
    assert report.num_problems == len(report.problems)
    if report.problems:
        with pytest.raises(DataError) as caught:
            list(read_examples(path))
        assert str(caught.value).startswith(f"{report.problems[0]} Without a report this is an error")
    return [problem.removeprefix(f"{path.parent}/") for problem in report.problems]


ADA = ("Ada Lovelace met Bob", [("Ada Lovelace", "per"), ("Bob", "per")])
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


@pytest.mark.parametrize("suffix", [".txt", ".conll", ".bio", ".json", ""])
@pytest.mark.parametrize("name", COLUMNS)
def test_columns(tmp_path: Path, name: str, suffix: str) -> None:
    path = write(tmp_path / f"data{suffix}", COLUMNS[name])
    assert input_format(path) == "conll"
    assert read(path) == [ADA]
    assert problems(path) == []


def test_blank_lines_and_document_starts_part_sentences(tmp_path: Path) -> None:
    path = write(tmp_path / "a.conll", "\n\na B-x\n \n\nb I-x\n-DOCSTART- O\nc O\n\n")
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
    path = write(tmp_path / "a.conll", "a I-x\nb B-x\nc I-x\nd I-y\n\ne I-x\n")
    assert read(path) == [("a b c d", [("a", "x"), ("b c", "x"), ("d", "y")]), ("e", [("e", "x")])]
    assert problems(path) == []


def test_layers_of_tags_are_nested_entities(tmp_path: Path) -> None:
    lines = "IL-2\tB-protein\tB-DNA\tO\ngene\tO\tI-DNA\tO\nin\tO\tO\tO\nT\tB-cell\tO\tO\ncells\tI-cell\tO\tO\n"
    path = write(tmp_path / "genia.iob2", lines)
    assert read(path) == [("IL-2 gene in T cells", [("IL-2", "protein"), ("T cells", "cell"), ("IL-2 gene", "DNA")])]


def test_layers_may_cross_and_each_has_its_own_scheme(tmp_path: Path) -> None:
    path = write(tmp_path / "a.conll", "a\tB-x\tO\nb\tI-x\tI-y\nc\tO\tI-y\nd\tO\tB-y\n")
    assert read(path) == [("a b c d", [("a b", "x"), ("b c", "y"), ("d", "y")])]
    assert problems(path) == []


def test_tokens_may_be_brackets_tags_and_blanks_of_other_kinds(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "[ O\n{ O\nO B-x\nB-cell I-x\n\u3000 O\n\u00a0 O\n")
    assert read(path) == [("[ { O B-cell \u3000 \u00a0", [("O B-cell", "x")])]


def test_labels_may_hold_dashes_and_blanks(tmp_path: Path) -> None:
    path = write(tmp_path / "a.conll", "a\tB-cell-type\nb\tB-cell line\n")
    assert read(path) == [("a b", [("a", "cell-type"), ("b", "cell line")])]


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
    path = write(tmp_path / "a.conll", lines)
    assert read(path, report=DataReport()) == [("a b c d", entities)]
    assert problems(path) == [f"a.conll:{line}" for line in expected]


CMEEE_1 = [
    {"text": "研究证实", "entities": []},
    {"text": "肺内病变", "entities": [{"start_idx": 0, "end_idx": 0, "type": "bod", "entity": "肺"}]},
    {"text": "肺内病变", "entities": [{"start_idx": 0, "end_idx": 3, "type": "sym", "entity": "肺内病变"}]},
]
CMEEE_2 = [
    {"text": "肺内病变", "entities": [{"start_idx": 0, "end_idx": 1, "type": "bod", "entity": "肺"}]},
    {"text": "肺内病变", "entities": [{"start_idx": 0, "end_idx": 4, "type": "sym", "entity": "肺内病变"}]},
]
CMEEE_READ = [("肺内病变", [("肺", "bod")]), ("肺内病变", [("肺内病变", "sym")])]
SPERT = [
    {
        "tokens": ["Ada", "Lovelace", "met", "Bob"],
        "entities": [{"type": "per", "start": 0, "end": 2}, {"type": "per", "start": 3, "end": 4}],
        "relations": [{"type": "met", "head": 0, "tail": 1}],
        "orig_id": 7,
    }
]
CLUENER = {"text": "叶老桂认为:叶老桂", "label": {"name": {"叶老桂": [[0, 2], [6, 8]]}, "word": {"认为": [[3, 4]]}}}
CLUENER_READ = [("叶老桂认为:叶老桂", [("叶老桂", "name"), ("叶老桂", "name"), ("认为", "word")])]
ROWS = [[0, 12, "per"], [17, 20, "per"]]
TAGGED = [{"id": "1", "tokens": ["Ada", "Lovelace", "met", "Bob"], "ner_tags": ["B-per", "I-per", "O", "B-per"]}]
PRODIGY = {
    "text": ADA[0],
    "tokens": [{"text": "Ada", "start": 0, "end": 3, "id": 0, "ws": True}],
    "spans": [{"start": s, "end": e, "label": label, "token_start": 0, "token_end": 1} for s, e, label in ROWS],
    "_input_hash": 1,
    "answer": "accept",
}
OBJECTS = [{"id": 1, "start_offset": s, "end_offset": e, "label": label} for s, e, label in ROWS]


def task(text: str, *regions: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"id": 1, "data": {"text": text}, "annotations": [{"id": 5, "result": list(regions)}], **more}


def region(start: Any, end: Any, *labels: str, **more: Any) -> dict[str, Any]:
    return {"type": "labels", "from_name": "l", "value": {"start": start, "end": end, "labels": list(labels), **more}}


TASK = task(
    ADA[0],
    region(0, 12, "per", text="Ada Lovelace"),
    region(17, 20, "per"),
    {"type": "choices", "value": {"choices": ["good"]}},
    {"type": "relation", "from_id": "a", "to_id": "b"},
)


@pytest.mark.parametrize(
    ("format", "content", "expected"),
    [
        pytest.param("cmeee", CMEEE_1, [("研究证实", []), *CMEEE_READ], id="cmeee-inclusive"),
        pytest.param("cmeee", CMEEE_2, CMEEE_READ, id="cmeee-exclusive"),
        pytest.param("spert", SPERT, [ADA], id="spert"),
        pytest.param("cluener", json.dumps(CLUENER) + "\n", CLUENER_READ, id="cluener"),
        pytest.param("cluener", [CLUENER], CLUENER_READ, id="cluener-array"),
        pytest.param("doccano", {"text": ADA[0], "label": ROWS}, [ADA], id="doccano-label"),
        pytest.param("doccano", {"text": ADA[0], "labels": ROWS}, [ADA], id="doccano-labels"),
        pytest.param("doccano", {"text": ADA[0], "entities": ROWS}, [ADA], id="doccano-entities"),
        pytest.param("doccano", {"text": ADA[0], "entities": OBJECTS, "relations": []}, [ADA], id="doccano-objects"),
        pytest.param("label-studio", [TASK], [ADA], id="label-studio"),
        pytest.param("label-studio", "[\n  " + json.dumps(TASK, indent=4) + "\n]\n", [ADA], id="pretty"),
        pytest.param("ner-tags", TAGGED, [ADA], id="ner-tags"),
        pytest.param("ner-tags", json.dumps({**TAGGED[0], "text": "Ada ..."}) + "\n", [ADA], id="ner-tags-and-text"),
        pytest.param("prodigy", json.dumps(PRODIGY) + "\n", [ADA], id="prodigy"),
        pytest.param("prodigy", {"text": ADA[0], "spans": PRODIGY["spans"]}, [ADA], id="prodigy-without-answer"),
        pytest.param("jsonl", [{"text": "a", "entities": []}], [("a", [])], id="jsonl-array"),
        pytest.param("jsonl", [{"text": "a", "entities": [], "spans": []}], [("a", [])], id="jsonl-with-spans"),
        pytest.param("jsonl", '{"text": "a", "entities": []}\n' * 2, [("a", [])] * 2, id="no-entity-anywhere"),
    ],
)
@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.txt", "a"])
def test_json_formats_are_told_by_their_records(
    tmp_path: Path, name: str, format: str, content: object, expected: list[Read]
) -> None:
    path = write(tmp_path / name, content)
    assert input_format(path) == format
    assert read(path) == expected
    assert read(path, format=format) == expected
    assert problems(path) == []


def test_ids_and_places_of_records(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", SPERT * 2)
    assert [(e.id, e.source) for e in read_examples(path)] == [(7, f"{path}[0]"), (7, f"{path}[1]")]
    path = write(tmp_path / "b.json", json.dumps({**CLUENER, "id": "x"}) + "\n")
    assert [(e.id, e.source) for e in read_examples(path)] == [("x", f"{path}:1")]


def test_entities_may_be_missing_where_labels_are_not_needed(tmp_path: Path) -> None:
    for format in ("cluener", "cmeee", "doccano", "jsonl"):
        assert read(write(tmp_path / "a.json", {"text": "x"}), format=format, labeled=False) == [("x", [])]
    assert read(write(tmp_path / "a.json", {"tokens": ["x"]}), labeled=False) == [("x", [])]
    assert read(write(tmp_path / "a.json", {"data": {"text": "x"}}), labeled=False) == [("x", [])]
    assert read(write(tmp_path / "a.txt", "x\n"), format="brat", labeled=False) == [("x\n", [])]


@pytest.mark.parametrize(("before", "indent"), [("", None), ("", 2), ("\ufeff", None)])
def test_arrays_may_be_laid_out_in_any_way(tmp_path: Path, before: str, indent: int | None) -> None:
    texts = ['"[{', "\\", "\ud83d\ude00 é 😀", "a" * 100, "", "null", "\n"]
    records = [{"text": text, "entities": [], "n": [-1.5e-3, True, None], "id": i} for i, text in enumerate(texts)]
    examples = list(read_examples(write(tmp_path / "a.json", before + json.dumps(records, indent=indent)), "jsonl"))
    assert [example.id for example in examples] == list(range(len(texts)))
    assert [example.text for example in examples] == [*texts[:2], "😀 é 😀", *texts[3:]]


def test_arrays_are_read_as_far_as_asked(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", json.dumps(SPERT * 5000)[:-1])
    assert len(list(islice(read_examples(path), 5000))) == 5000
    with pytest.raises(DataError, match=r"a\.json\[5000\]: not valid JSON \(the array is cut off\)"):
        list(read_examples(path))


@pytest.mark.parametrize(
    ("content", "expected", "left"),
    [
        pytest.param(
            [task("ab", region(0, 1, "x")), {"id": 2, "data": {"text": "c"}, "annotations": []}],
            ["a.json[1]: the task has no annotation; it is left out."],
            [("ab", [("a", "x")])],
            id="no-annotation",
        ),
        pytest.param(
            [
                task("ab", region(0, 1, "x")),
                task("ab", annotations=[{"was_canceled": True, "result": [region(0, 1, "x")]}]),
            ],
            ["a.json[1]: the task has no annotation; it is left out."],
            [("ab", [("a", "x")])],
            id="canceled",
        ),
        pytest.param(
            [task("ab", annotations=[{"result": [region(0, 1, "x")]}, {"result": []}])],
            ["a.json[0]: the task has 2 annotations; the first is read."],
            [("ab", [("a", "x")])],
            id="two-annotations",
        ),
        pytest.param(
            [task("ab", region(0, 1), region(1, 2, "x"))],
            [
                "a.json[0]: annotations[0].result[0].value has no labels "
                '({"start": 0, "end": 1, "labels": []}); it is left out.'
            ],
            [("ab", [("b", "x")])],
            id="no-labels",
        ),
        pytest.param(
            [task("ab", {"type": "hypertextlabels", "value": {"start": "/p[1]", "end": "/p[1]"}}, region(1, 2, "x"))],
            [
                "a.json[0]: annotations[0].result[0].value is no span of the text "
                '({"start": "/p[1]", "end": "/p[1]"}); it is left out.'
            ],
            [("ab", [("b", "x")])],
            id="html",
        ),
    ],
)
def test_label_studio_counts_what_is_no_span(
    tmp_path: Path, content: object, expected: list[str], left: list[Read]
) -> None:
    path = write(tmp_path / "a.json", content)
    assert problems(path) == expected
    assert read(path, report=DataReport()) == left


def test_prodigy_leaves_out_what_the_annotator_did(tmp_path: Path) -> None:
    tasks = [PRODIGY, *({**PRODIGY, "answer": answer} for answer in ("reject", "ignore"))]
    path = write(tmp_path / "a.jsonl", "".join(json.dumps(task) + "\n" for task in tasks))
    assert read(path) == [ADA]
    path = write(tmp_path / "b.jsonl", json.dumps(PRODIGY) + "\n" + json.dumps({**PRODIGY, "answer": None}) + "\n")
    with pytest.raises(DataError, match=r'b\.jsonl:2: field "answer" is null; it must be "accept", "reject" or'):
        read(path)


def test_prodigy_tasks_that_were_accepted_may_have_no_spans(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", json.dumps(PRODIGY) + '\n{"text": "none", "answer": "accept"}\n')
    assert read(path) == [ADA, ("none", [])]
    path = write(tmp_path / "b.jsonl", {"text": "none"})
    with pytest.raises(DataError, match=r'b\.jsonl:1: field "spans" is missing; it must be a list'):
        read(path, format="prodigy")
    path = write(tmp_path / "c.jsonl", {"text": "a", "spans": [{"start": 0, "end": 1}]})
    with pytest.raises(DataError, match=r'c\.jsonl:1: field "spans\[0\]\.label" is missing'):
        read(path)


@pytest.mark.parametrize("tags", [["I-per", "I-per", "O", "I-per"], ["B-per", "L-per", "O", "U-per"]])
def test_tagged_records_may_have_any_scheme(tmp_path: Path, tags: list[str]) -> None:
    path = write(tmp_path / "a.jsonl", {**TAGGED[0], "ner_tags": tags})
    assert read(path) == [ADA]
    assert [(e.id, e.source) for e in read_examples(path)] == [("1", f"{path}:1")]


def test_tagged_records_count_tags_against_the_scheme(tmp_path: Path) -> None:
    records = [{"tokens": ["a", "b"], "ner_tags": ["B-x", "I-y"]}, {"tokens": ["c"], "ner_tags": ["B-x"]}]
    path = write(tmp_path / "a.jsonl", "".join(json.dumps(record) + "\n" for record in records))
    assert problems(path) == ["a.jsonl:1: token 1: I-y continues no y entity; it is read as beginning one."]
    assert read(path, report=DataReport()) == [("a b", [("a", "x"), ("b", "y")]), ("c", [("c", "x")])]


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
    path = write(tmp_path / "a.jsonl", json.dumps(TAGGED[0]) + "\n" + json.dumps({**TAGGED[0], **changes}))
    with pytest.raises(DataError) as caught:
        list(read_examples(path, report=DataReport()))
    assert str(caught.value).startswith(f"{path}:2: {message}")


def test_tags_are_not_read_where_labels_are_not_needed(tmp_path: Path) -> None:
    path = write(tmp_path / "a.jsonl", {**TAGGED[0], "ner_tags": [1, 2, 0, 1]})
    assert read(path, labeled=False) == [(ADA[0], [])]


def test_label_studio_offsets_may_be_utf16_units(tmp_path: Path) -> None:
    regions = [region(3, 5, "x", text="ab"), region(0, 2, "y", text="💩"), region(2, 4, "z", text="ab")]
    assert read(write(tmp_path / "a.json", [task("💩 ab", *regions)])) == [
        ("💩 ab", [("ab", "x"), ("💩", "y"), ("ab", "z")])
    ]


def test_label_studio_takes_the_only_string_and_several_labels(tmp_path: Path) -> None:
    content = [{"data": {"body": "ab", "n": 3}, "completions": [{"result": [region(0, 1, "x", "y")]}]}]
    assert read(write(tmp_path / "a.json", content)) == [("ab", [("a", "x"), ("a", "y")])]


ANN = "T1\tper 0 12\tAda Lovelace\nT2\tper 17 20\tBob\nR1\tmet Arg1:T1 Arg2:T2\n#1\tAnnotatorNotes T1\tsure\n\n"


def test_brat_folder_and_file(tmp_path: Path) -> None:
    for name in ("b", "a", "sub/c"):
        write(tmp_path / f"{name}.txt", ADA[0])
        write(tmp_path / f"{name}.ann", ANN)
    write(tmp_path / "annotation.conf", "[entities]\nper\n")
    assert input_format(tmp_path) == "brat"
    assert read(tmp_path) == [ADA] * 3
    assert [(e.id, e.source) for e in read_examples(tmp_path)] == [
        (name, str(tmp_path / f"{name}.txt")) for name in ("a", "b", "sub/c")
    ]
    assert read(tmp_path / "a.txt") == [ADA]
    assert [example.id for example in read_examples(tmp_path / "a.txt")] == ["a"]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_brat_counts_every_character(tmp_path: Path, end: str) -> None:
    text = f"\ufeff😀{end}Ada{end}Bob"
    start = text.index("Ada")
    write(tmp_path / "a.txt", text)
    write(tmp_path / "a.ann", f"T1\tper {start} {len(text)}\tAda{' ' * len(end)}Bob{end}T2\tempty 0 2\t\ufeff😀")
    assert read(tmp_path) == [(text, [(f"Ada{end}Bob", "per"), ("\ufeff😀", "empty")])]


def test_brat_counts_discontinuous_entities(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "left and right lung")
    write(tmp_path / "a.ann", "T1\tbody 0 4;15 19\tleft lung\nT2\tbody 9 19\tright lung\n")
    path = tmp_path / "a.txt"
    assert problems(path) == ["a.ann:1: 'left lung' (body, 0 4;15 19) is discontinuous; it is left out."]
    assert read(path, report=DataReport()) == [("left and right lung", [("right lung", "body")])]


def test_report_keeps_all_problems_and_sums_up(tmp_path: Path) -> None:
    report = DataReport()
    list(read_examples(write(tmp_path / "a.conll", "a B-x\n\n" + "b I-x\n\n" * 250), report=report))
    assert (report.num_examples, report.num_entities, report.num_problems, len(report.problems)) == (
        251,
        251,
        250,
        250,
    )
    lines = report.summary().splitlines()
    assert lines[0] == "examples: 251, entities: 251, problems: 250."
    assert lines[1] == f"  {tmp_path}/a.conll:3: I-x continues no x entity; it is read as beginning one."
    assert (len(lines), lines[-1]) == (7, "  ... and 245 more")


NAMES = ["O", "B-per", "I-per"]
TOKENS = {"tokens": [["Ada", "Lovelace", "met", "Bob"]]}
TAGS = Features({"tokens": List(Value("string")), "ner_tags": List(ClassLabel(names=NAMES))})


def test_dataset_of_tags() -> None:
    named = Dataset.from_dict({**TOKENS, "ner_tags": [["B-per", "I-per", "O", "B-per"]], "id": ["x"]})
    numbered = Dataset.from_dict({**TOKENS, "ner_tags": [[1, 2, 0, 1]]}, features=TAGS)
    for dataset in (named, numbered, numbered.to_iterable_dataset()):
        assert [shown(example) for example in read_dataset(dataset)] == [ADA]
    assert [(example.id, example.source) for example in read_dataset(named)] == [("x", "row 0")]


def test_dataset_of_spans() -> None:
    rows = [{"text": ADA[0], "entities": [{"start": s, "end": e, "label": label} for s, e, label in ROWS]}]
    assert [shown(example) for example in read_dataset(Dataset.from_list(rows))] == [ADA]


def test_dataset_counts_tags_against_the_scheme() -> None:
    rows = {"tokens": [["a", "b"], ["c"]], "ner_tags": [["B-x", "I-y"], ["B-x"]]}
    report = DataReport()
    examples = list(read_dataset(Dataset.from_dict(rows), report))
    assert [shown(e) for e in examples] == [("a b", [("a", "x"), ("b", "y")]), ("c", [("c", "x")])]
    assert report.problems == ["row 0: token 1: I-y continues no y entity; it is read as beginning one."]
    assert (report.num_examples, report.num_entities) == (2, 3)
    with pytest.raises(DataError, match=r"^row 0: token 1: I-y continues no y entity;.* Without a report this is an"):
        list(read_dataset(Dataset.from_dict(rows)))


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            {"words": [["a"]]},
            "the data set has columns words; rename them to tokens and ner_tags, or text and entities.",
        ),
        (
            {"tokens": [["a"]], "ner_tags": [[1]]},
            "row 0: ner_tags: 1 is no string; cast the column to strings, or to a",
        ),
        ({"tokens": [["a"]], "ner_tags": [["per"]]}, "row 0: ner_tags: 'per' is no tag; tags are O and B-label"),
        ({"tokens": [["a"]], "ner_tags": [["O", "O"]]}, "row 0: 1 tokens, but 2 tags; give every token one."),
        ({"tokens": [[""]], "ner_tags": [["O"]]}, "row 0: tokens[0] is ''; a token must be a string, and not empty."),
        ({"tokens": [None], "ner_tags": [["O"]]}, "row 0: tokens must be a list, got null."),
        (
            {"text": ["a"], "entities": [[{"start": 0, "end": 2, "label": "x"}]]},
            "row 0: entities[0] ('x') has start 0",
        ),
        ({"text": ["a"], "entities": [[{"start": 0, "label": "x"}]]}, 'row 0: field "entities[0].end" is missing'),
        ({"text": [None], "entities": [[]]}, "row 0: text must be a string, got null."),
        ({"text": [], "entities": []}, "the data set holds no rows."),
    ],
)
def test_dataset_that_cannot_be_used(rows: dict[str, list[Any]], message: str) -> None:
    with pytest.raises(DataError) as caught:
        list(read_dataset(Dataset.from_dict(rows)))
    assert str(caught.value).startswith(message)


def test_dataset_of_several_splits_is_refused() -> None:
    with pytest.raises(DataError, match=r"name a split, as in dataset\['train'\]"):
        list(read_dataset({"train": Dataset.from_dict(TOKENS)}))  # type: ignore[arg-type]


def test_entity_given_twice_counts_once(tmp_path: Path) -> None:
    report = DataReport()
    path = write(tmp_path / "a.conll", "a\tB-x\tB-x\n")
    (example,) = read_examples(path, report=report)
    assert set(example.entities) == {Entity(0, 1, "x")}
    assert report.num_entities == 1


GERMEVAL = (
    "#\thttp://de.wikipedia.org/wiki/Schartau [2009-10-17]\n"
    "1\tSchartau\tB-PER\tO\n2\tlebt\tO\tO\n3\tin\tO\tO\n4\tBonn\tB-LOC\tO\n\n"
    "#\thttp://de.wikipedia.org/wiki/Bonn [2009-10-17]\n1\tBonner\tB-LOCderiv\tB-x\n2\tUni\tO\tI-x\n\n"
)


def test_column_that_numbers_tokens_is_not_read(tmp_path: Path) -> None:
    expected = [
        ("Schartau lebt in Bonn", [("Schartau", "PER"), ("Bonn", "LOC")]),
        ("Bonner Uni", [("Bonner", "LOCderiv"), ("Bonner Uni", "x")]),
    ]
    path = write(tmp_path / "a.tsv", GERMEVAL)
    assert input_format(path) == "conll"
    assert read(path) == expected
    from_0 = "".join(
        f"{int(line[0]) - 1}{line[1:]}" if line[:1].isdigit() else line for line in GERMEVAL.splitlines(keepends=True)
    )
    assert read(write(tmp_path / "b.tsv", from_0)) == expected
    assert problems(path) == []


def test_tokens_that_are_numbers_are_tokens(tmp_path: Path) -> None:
    assert read(write(tmp_path / "a.conll", "1\tO\n2\tB-x\n")) == [("1 2", [("2", "x")])]
    assert read(write(tmp_path / "b.conll", "1\tO\tO\n2\tB-x\tB-y\n")) == [("1 2", [("2", "x"), ("2", "y")])]
    assert read(write(tmp_path / "c.conll", "1 CD O\n2 CD B-x\n\n2 CD O\n")) == [("1 2", [("2", "x")]), ("2", [])]


@pytest.mark.parametrize(
    "comment", ["# newdoc", "#\thttp://a/b [2009-10-17]", "# id = 1", "#", "# a sentence, as it was"]
)
@pytest.mark.parametrize("between", ["\t", " "])
def test_comments_before_a_sentence_are_passed_over(tmp_path: Path, comment: str, between: str) -> None:
    lines = f"{comment}\na{between}B-x\n\n{comment}\n#{between}B-x\n#b{between}O\n"
    path = write(tmp_path / "a.txt", lines)
    assert input_format(path) == "conll"
    assert read(path) == [("a", [("a", "x")]), ("# #b", [("#", "x")])]


@pytest.mark.parametrize("phrases", [("NC", "VC"), ("PC", "ADVC"), ("ADJC", "CONJC"), ("NP", "VP")])
def test_chunks_are_no_entities(tmp_path: Path, phrases: tuple[str, str]) -> None:
    first, second = phrases
    lines = f"Ada Ada NE I-{first} I-PER\nlebt leben VVFIN I-{second} O\nBob Bob NE B-{first} I-PER\n"
    assert read(write(tmp_path / "a.conll", lines)) == [("Ada lebt Bob", [("Ada", "PER"), ("Bob", "PER")])]


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
    path = write(tmp_path / "a.conll", lines)
    assert read(path) == [("a b c d", entities)]
    assert problems(path) == []


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
    found = problems(write(tmp_path / "a.conll", lines))
    assert [problem[: len(start)] for problem, start in zip(found, expected, strict=True)] == expected


def test_columns_without_any_tag_are_no_entities(tmp_path: Path) -> None:
    lines = "1\tAda\tAda\tPROPN\t_\n2\tmet\tmeet\tVERB\t_\n3\tBob\tBob\tPROPN\t_\n"
    with pytest.raises(DataError, match="neither the last nor the first of 5 columns holds tags"):
        list(read_examples(write(tmp_path / "a.conll", lines)))


def test_blanks_around_tags_are_no_part_of_them(tmp_path: Path) -> None:
    path = write(tmp_path / "a.conll", "a\tB-x \nb\t I-x\nc\tO \nd\tB-y z \n")
    assert read(path) == [("a b c d", [("a b", "x"), ("d", "y z")])]
    assert problems(path) == []


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
    assert input_format(write(tmp_path / name, content)) == "conll"


def test_bare_document_starts_part_sentences(tmp_path: Path) -> None:
    path = write(tmp_path / "a.txt", "-DOCSTART-\n\na B-x\n\n-DOCSTART-\n\nb O\n")
    assert read(path) == [("a", [("a", "x")]), ("b", [])]


def test_brat_joins_pieces_that_only_blanks_part(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", "left\r\n lung here")
    write(tmp_path / "a.ann", "T1\tbody 0 4;7 11\tleft lung\nT2\tx 0 2;2 4\tle ft\n")
    assert read(tmp_path) == [("left\r\n lung here", [("left\r\n lung", "body"), ("left", "x")])]
    assert read(tmp_path / "a.ann") == read(tmp_path / "a.txt")
    assert input_format(tmp_path / "a.ann") == "brat"


JSON_MIN = [
    {
        "id": 1,
        "text": ADA[0],
        "label": [{"start": s, "end": e, "text": ADA[0][s:e], "labels": [label]} for s, e, label in ROWS],
        "annotator": 1,
        "annotation_id": 1,
    }
]


def test_label_studio_json_min(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", [*JSON_MIN, {"id": 2, "text": "none", "annotation_id": 2}])
    assert input_format(path) == "label-studio"
    assert read(path) == [ADA, ("none", [])]
    assert problems(path) == []


def test_reason_is_told_where_nothing_is_left(tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", [{"data": {"text": "a"}, "annotations": []}])
    report = DataReport(problems=["of another file"])
    with pytest.raises(DataError) as caught:
        list(read_examples(path, report=report))
    assert str(caught.value) == (
        f"{path}: the file holds no examples. {path}[0]: the task has no annotation; it is left out."
    )


SPANS = {"start": [0, 17], "end": [12, 20]}


@pytest.mark.parametrize("format", ["torch", "numpy", "pandas"])
def test_dataset_may_have_a_format(format: str) -> None:
    tags = Dataset.from_dict({**TOKENS, "ner_tags": [[1, 2, 0, 1]]}, features=TAGS)
    rows = [{"text": ADA[0], "entities": [{"start": s, "end": e, "label": label} for s, e, label in ROWS]}]
    for dataset in (tags, Dataset.from_list(rows)):
        assert [shown(example) for example in read_dataset(dataset.with_format(format))] == [ADA]


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("in_lists", [False, True])
@pytest.mark.parametrize("named", [False, True])
def test_dataset_of_entities_in_lists_and_with_class_labels(in_lists: bool, named: bool, streamed: bool) -> None:
    label = ClassLabel(names=["x", "per"]) if named else Value("string")
    row = {**SPANS, "label": [1, 1] if named else ["per", "per"]}
    item = {"start": Value("int64"), "end": Value("int64"), "label": label}
    objects = [dict(zip(row, values, strict=True)) for values in zip(*row.values(), strict=True)]
    features = {name: List(kind) for name, kind in item.items()} if in_lists else List(item)
    dataset = Dataset.from_dict(
        {"text": [ADA[0]], "entities": [row if in_lists else objects]},
        features=Features({"text": Value("string"), "entities": features}),
    )
    given = dataset.to_iterable_dataset() if streamed else dataset
    assert [shown(example) for example in read_dataset(given)] == [ADA]


def test_dataset_of_lists_that_differ_in_length() -> None:
    dataset = Dataset.from_dict({"text": ["ab"], "entities": [{"start": [0], "end": [1, 2], "label": ["x"]}]})
    with pytest.raises(DataError, match="row 0: the lists in entities are not of one length; give each entity"):
        list(read_dataset(dataset))
