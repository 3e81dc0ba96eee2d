from typing import Any

import pytest
from datasets import ClassLabel, Dataset, Features, List, Value

from data_files import ADA_READ, ADA_ROWS, text_and_entities
from hf_globalpointer.data import DataError, DataReport, read_dataset


NAMES = ["O", "B-per", "I-per"]


TOKENS = {"tokens": [["Ada", "Lovelace", "met", "Bob"]]}


TAGS = Features({"tokens": List(Value("string")), "ner_tags": List(ClassLabel(names=NAMES))})


SPANS = {"start": [0, 17], "end": [12, 20]}


def test_dataset_of_tags() -> None:
    named = Dataset.from_dict({**TOKENS, "ner_tags": [["B-per", "I-per", "O", "B-per"]], "id": ["x"]})
    numbered = Dataset.from_dict({**TOKENS, "ner_tags": [[1, 2, 0, 1]]}, features=TAGS)
    for dataset in (named, numbered, numbered.to_iterable_dataset()):
        assert [text_and_entities(example) for example in read_dataset(dataset)] == [ADA_READ]
    assert [(example.id, example.source) for example in read_dataset(named)] == [("x", "row 0")]


def test_dataset_of_spans() -> None:
    rows = [{"text": ADA_READ[0], "entities": [{"start": s, "end": e, "label": label} for s, e, label in ADA_ROWS]}]
    assert [text_and_entities(example) for example in read_dataset(Dataset.from_list(rows))] == [ADA_READ]


def test_dataset_counts_tags_against_the_scheme() -> None:
    rows = {"tokens": [["a", "b"], ["c"]], "ner_tags": [["B-x", "I-y"], ["B-x"]]}
    report = DataReport()
    examples = list(read_dataset(Dataset.from_dict(rows), report))
    assert [text_and_entities(e) for e in examples] == [("a b", [("a", "x"), ("b", "y")]), ("c", [("c", "x")])]
    assert report.problems == ["row 0: token 1: I-y continues no y entity; it is read as beginning one."]
    assert (report.num_examples, report.num_entities) == (2, 3)
    with pytest.raises(DataError, match=r"^row 0: token 1: I-y continues no y entity;.* Correct it; or let"):
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


@pytest.mark.parametrize("format", ["torch", "numpy", "pandas"])
def test_dataset_may_have_a_format(format: str) -> None:
    tags = Dataset.from_dict({**TOKENS, "ner_tags": [[1, 2, 0, 1]]}, features=TAGS)
    rows = [{"text": ADA_READ[0], "entities": [{"start": s, "end": e, "label": label} for s, e, label in ADA_ROWS]}]
    for dataset in (tags, Dataset.from_list(rows)):
        assert [text_and_entities(example) for example in read_dataset(dataset.with_format(format))] == [ADA_READ]


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
        {"text": [ADA_READ[0]], "entities": [row if in_lists else objects]},
        features=Features({"text": Value("string"), "entities": features}),
    )
    given = dataset.to_iterable_dataset() if streamed else dataset
    assert [text_and_entities(example) for example in read_dataset(given)] == [ADA_READ]


def test_dataset_of_lists_that_differ_in_length() -> None:
    dataset = Dataset.from_dict({"text": ["ab"], "entities": [{"start": [0], "end": [1, 2], "label": ["x"]}]})
    with pytest.raises(DataError, match="row 0: the lists in entities are not of one length; give each entity"):
        list(read_dataset(dataset))
