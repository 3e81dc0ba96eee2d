import math
from itertools import combinations
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from conftest import make_pipeline
from hf_globalpointer import Entity, Example, Recognizer, export_model, suggest
from hf_globalpointer.evaluation.suggestions import choose_suggestions, suggestion_options


SETTINGS = SimpleNamespace(
    id2label={0: "org", 1: "place"}, thresholds={"place": 0.8}, calibration=None, score_threshold=0, overlap="flat"
)


def found(text: str, *spans: tuple[str, str, float]) -> tuple[Example, list[dict[str, Any]]]:
    """A text, and the spans of these words, labels and scores."""
    entities = [
        {"start": text.index(word), "end": text.index(word) + len(word), "entity_group": label, "score": score}
        for word, label, score in spans
    ]
    return Example(text, id=text[:1]), [
        entity | {"word": text[entity["start"] : entity["end"]]} for entity in entities
    ]


def chosen(*texts: tuple[Example, list[dict[str, Any]]], top: int = 9) -> list[tuple[str, float]]:
    return [(each.example.text, round(each.value, 6)) for each in choose_suggestions(texts, SETTINGS, top)]


def test_a_doubt_is_one_at_the_threshold_and_falls_on_both_sides() -> None:
    assert chosen(found("a Leeds", ("Leeds", "org", 0.5))) == [("a Leeds", 1.0)]
    assert chosen(found("a Leeds", ("Leeds", "place", 0.8))) == [("a Leeds", 1.0)]
    # One logit on either side of the threshold of 0.8, whose odds are 4: 4 e / (1 + e)^2.
    for odds in (4 * 2.718281828, 4 / 2.718281828):
        assert chosen(found("a Leeds", ("Leeds", "place", odds / (1 + odds)))) == [("a Leeds", 0.786448)]
    assert chosen(found("a Leeds", ("Leeds", "org", 1.0))) == [("a Leeds", 0.0)]
    assert chosen(found("a Leeds")) == []


def test_what_a_chosen_text_will_teach_counts_half_in_the_next_one() -> None:
    texts = [
        found("a Leeds York", ("Leeds", "org", 0.5), ("York", "org", 0.5)),
        found("b leeds york", ("leeds", "org", 0.5), ("york", "org", 0.5)),
        found("c Leeds, Hull", ("Leeds", "place", 0.8), ("Hull", "org", 0.6)),
    ]
    # Hull 0.96; Leeds as a place is another doubt than as an organization.
    assert chosen(*texts) == [("a Leeds York", 2.0), ("c Leeds, Hull", 1.96), ("b leeds york", 1.0)]
    assert chosen(*texts, top=1) == [("a Leeds York", 2.0)]


def test_a_text_is_chosen_once_and_a_doubt_counts_once_in_it() -> None:
    example, spans = found("a Leeds", ("Leeds", "org", 0.5))
    assert chosen((example, spans * 3), (example, spans)) == [("a Leeds", 1.0)]


def test_the_choice_is_that_of_trying_all_others_each_time() -> None:
    words = ["Leeds", "York", "Hull", "Bath"]
    texts = [
        found(f"{index} {' '.join(pair)}", *((word, "org", 0.3 + 0.01 * index) for word in pair))
        for index, pair in enumerate([*combinations(words, 2), *combinations(words, 3)])
    ]
    left, expected, count = list(texts), [], dict.fromkeys(words, 0)
    while left:
        values = []
        for _, spans in left:
            odds = spans[0]["score"] / (1 - spans[0]["score"])
            values.append(sum(4 * odds / (1 + odds) ** 2 * 0.5 ** count[span["word"]] for span in spans))
        best = max(range(len(left)), key=values.__getitem__)
        expected.append((left[best][0].text, round(values[best], 6)))
        for span in left.pop(best)[1]:
            count[span["word"]] += 1
    assert chosen(*texts, top=99) == expected


def test_the_entities_are_those_that_the_pipeline_gives() -> None:
    example, spans = found(
        "a Leeds Hall", ("Leeds Hall", "org", 0.9), ("Leeds", "place", 0.85), ("Hall", "place", 0.79)
    )
    (suggestion,) = choose_suggestions([(example, spans)], SETTINGS, 1)
    assert suggestion.example == Example("a Leeds Hall", (Entity(2, 12, "org"),), id="a")


def test_labels_are_known_by_their_numbers() -> None:
    turned = SimpleNamespace(**{**vars(SETTINGS), "id2label": {1: "place", 0: "org"}})
    text = found("a Leeds", ("Leeds", "place", 0.8))
    assert choose_suggestions([text], turned, 1) == choose_suggestions([text], SETTINGS, 1)


def test_low_thresholds_are_looked_below() -> None:
    pipe = make_pipeline("efficient", thresholds={"date": 0.005})
    lowest = suggestion_options(pipe)["threshold"]["date"]
    assert math.log(0.005 / 0.995) - math.log(lowest / (1 - lowest)) == pytest.approx(6)


def test_pipelines_and_recognizers_choose_the_same(tmp_path: Path) -> None:
    pipe = make_pipeline("efficient", thresholds={"date": 0.005}, overlap="nested", calibration={"person": [3.0, 0.5]})
    options = suggestion_options(pipe)
    assert set(options["threshold"]) == {"date", "person", "place"}
    assert all(threshold < 0.01 for threshold in options["threshold"].values())
    examples = [Example(text) for text in ("ab cd ef", "a b", "ab cd ef", "hgf edc", "")]
    few = suggest(pipe, examples, top=2)
    assert len(few) == 2
    every = suggest(pipe, iter(examples), top=9)
    assert [each.example.text for each in every[:2]] == [each.example.text for each in few]
    assert sorted(each.example.text for each in every) == ["a b", "ab cd ef", "hgf edc"]
    for each in every:
        expected = {(e["start"], e["end"], e["entity_group"]) for e in pipe(each.example.text)}
        assert {(e.start, e.end, e.label) for e in each.example.entities} == expected
    export_model(pipe, tmp_path / "exported", format="onnx")
    again = suggest(Recognizer(tmp_path / "exported"), examples, top=9)
    assert [each.example for each in again] == [each.example for each in every]
    assert [each.value for each in again] == pytest.approx([each.value for each in every], rel=1e-3)
