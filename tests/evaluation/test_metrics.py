from typing import Any

import numpy as np
import pytest
from hypothesis import given, strategies as st
from transformers import EvalPrediction

from hf_globalpointer.data import Entity, Example
from hf_globalpointer.evaluation.metrics import (
    ComputeSpanMetrics,
    SpanCounts,
    SpanMetrics,
    count_spans,
    score_predictions,
)


ID2LABEL = {0: "date", 1: "person", 2: "place"}
PAD = [-100, -100, -100]

entities = st.builds(Entity, st.integers(0, 2), st.integers(2, 3), st.sampled_from("xyz"))
documents = st.tuples(st.lists(entities, max_size=8), st.lists(entities, max_size=8))


def document(*rows: tuple[str, int, int]) -> list[list[Entity]]:
    """The entities of one document."""
    return [[Entity(start, end, label) for label, start, end in rows]]


def predicted(label: str, start: int, end: int) -> dict[str, Any]:
    return {"entity_group": label, "score": 0.9, "word": "", "start": start, "end": end}


def evaluate(rows: list[list[list[int]]], gold: list[list[list[int]]], **options: Any) -> dict[str, float]:
    prediction = EvalPrediction(predictions=np.array(rows), label_ids=np.array(gold))
    return ComputeSpanMetrics(ID2LABEL, **options)(prediction)


def ratios(correct: int, predicted: int, gold: int) -> tuple[float, float, float]:
    precision = correct / predicted if predicted else 0.0
    recall = correct / gold if gold else 0.0
    return precision, recall, 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def test_ratios_of_counts() -> None:
    counts = SpanCounts(correct=3, predicted=4, gold=6)
    assert (counts.precision, counts.recall, counts.f1) == (0.75, 0.5, 0.6)
    assert counts.to_dict() == {"precision": 0.75, "recall": 0.5, "f1": 0.6}


@pytest.mark.parametrize(
    "counts", [SpanCounts(0, 0, 0), SpanCounts(0, 5, 0), SpanCounts(0, 0, 5), SpanCounts(0, 2, 3)]
)
def test_ratios_over_nothing_are_zero(counts: SpanCounts) -> None:
    assert counts.to_dict() == {"precision": 0.0, "recall": 0.0, "f1": 0.0}


def test_nested_spans_count_each() -> None:
    gold = document(("place", 0, 9), ("place", 0, 4), ("person", 5, 9))
    found = document(("place", 0, 9), ("person", 5, 9))
    metrics = SpanMetrics.from_documents(gold, found)
    assert metrics.per_label == {"person": SpanCounts(1, 1, 1), "place": SpanCounts(1, 1, 2)}
    assert metrics.micro == SpanCounts(2, 2, 3)


def test_same_span_with_two_labels_is_two_spans() -> None:
    metrics = SpanMetrics.from_documents(document(("a", 0, 2), ("b", 0, 2)), document(("a", 0, 2)))
    assert metrics.per_label == {"a": SpanCounts(1, 1, 1), "b": SpanCounts(0, 0, 1)}


@pytest.mark.parametrize("wrong", [Entity(2, 5, "b"), Entity(1, 5, "a"), Entity(2, 4, "a")])
def test_label_start_and_end_must_all_agree(wrong: Entity) -> None:
    gold = Entity(2, 5, "a")
    assert SpanMetrics.from_documents([[gold]], [[wrong]]).micro == SpanCounts(0, 1, 1)
    assert SpanMetrics.from_documents([[gold]], [[wrong, gold]]).micro == SpanCounts(1, 2, 1)


def test_the_same_entity_in_another_document_is_wrong() -> None:
    gold = Entity(2, 5, "a")
    assert SpanMetrics.from_documents([[gold], []], [[], [gold]]).micro == SpanCounts(0, 1, 1)
    assert SpanMetrics.from_documents([[gold], []], [[gold], [gold]]).micro == SpanCounts(1, 2, 1)


def test_duplicates_count_once() -> None:
    gold, found = [("a", 0, 1)] * 2, [("a", 0, 1)] * 3 + [("a", 4, 5)] * 3
    once = SpanMetrics.from_documents(map(iter, document(*gold)), map(iter, document(*found)))
    assert once.micro == SpanCounts(1, 2, 1)


def test_spans_are_counted_by_any_group() -> None:
    counts = count_spans(iter([3, 5, 5, 8]), iter([3, 4, 8, 8]), lambda number: "even" if number % 2 == 0 else "odd")
    assert counts == {"odd": SpanCounts(1, 1, 2), "even": SpanCounts(1, 2, 1)}
    assert sum(counts.values(), SpanCounts()) == SpanCounts(2, 3, 3)


def test_macro_leaves_out_types_that_do_not_occur() -> None:
    gold = document(("missed", 0, 1), ("right", 0, 1))
    found = document(("invented", 0, 1), ("right", 0, 1), ("right", 1, 2))
    metrics = SpanMetrics.from_documents(gold, found, ["absent", "right", "missed"])
    assert list(metrics.per_label) == ["absent", "right", "missed", "invented"]
    assert metrics.per_label["absent"] == SpanCounts(0, 0, 0)
    assert metrics.macro == pytest.approx({"precision": 0.5 / 3, "recall": 1 / 3, "f1": (2 / 3) / 3})


def test_given_labels_come_first_and_others_sorted() -> None:
    metrics = SpanMetrics.from_documents(
        document(("z", 0, 1), ("b", 0, 1)), document(("a", 0, 1)), iter(["z", "y", "z"])
    )
    assert list(metrics.per_label) == ["z", "y", "a", "b"]


@pytest.mark.parametrize("labels", [(), ("a", "b")])
def test_nothing_at_all_is_zero(labels: tuple[str, ...]) -> None:
    assert set(SpanMetrics.from_documents([], [], labels).to_dict().values()) == {0.0}


def test_flat_numbers() -> None:
    metrics = SpanMetrics({"a": SpanCounts(1, 1, 1), "b": SpanCounts(0, 3, 1), "c": SpanCounts(0, 0, 0)})
    overall = {
        "precision": 0.25,
        "recall": 0.5,
        "f1": pytest.approx(1 / 3),
        "macro_precision": 0.5,
        "macro_recall": 0.5,
        "macro_f1": 0.5,
    }
    a = {"precision_a": 1.0, "recall_a": 1.0, "f1_a": 1.0}
    b = {"precision_b": 0.0, "recall_b": 0.0, "f1_b": 0.0}
    c = {"precision_c": 0.0, "recall_c": 0.0, "f1_c": 0.0}
    assert metrics.to_dict(per_label=False) == overall
    assert metrics.to_dict() == {**overall, **a, **b, **c}


@given(st.lists(documents, max_size=3), st.lists(st.sampled_from("wxyz"), max_size=4))
def test_agrees_with_brute_force(pairs: list[tuple[list[Entity], list[Entity]]], labels: list[str]) -> None:
    gold, found = ([(i, e) for i, pair in enumerate(pairs) for e in pair[side]] for side in (0, 1))

    def count(spans: list[tuple[int, Entity]], label: str | None = None) -> int:
        distinct: list[tuple[int, Entity]] = []
        for span in spans:
            if span not in distinct and label in (None, span[1].label):
                distinct.append(span)
        return len(distinct)

    def expected(label: str | None = None) -> tuple[float, float, float]:
        correct = count([span for span in found if span in gold], label)
        return ratios(correct, count(found, label), count(gold, label))

    result = SpanMetrics.from_documents(*([pair[side] for pair in pairs] for side in (0, 1)), labels).to_dict()
    names = ("precision", "recall", "f1")
    occurring = [label for label in "xyz" if count([*gold, *found], label)]
    assert tuple(result.pop(name) for name in names) == pytest.approx(expected())
    macro = [sum(column) / len(occurring) for column in zip(*map(expected, occurring), strict=True)] or [0.0] * 3
    assert [result.pop(f"macro_{name}") for name in names] == pytest.approx(macro)
    for label in {*occurring, *labels}:
        assert tuple(result.pop(f"{name}_{label}") for name in names) == pytest.approx(expected(label))
    assert result == {}


def test_trainer_metrics_ignore_padding() -> None:
    gold = [[[0, 1, 2], [1, 1, 2], [2, 4, 4]], [PAD, PAD, PAD], [[0, 3, 5], PAD, PAD]]
    rows = [[[1, 1, 2], PAD], [PAD, [0, 1, 2]], [[0, 3, 5], [0, 3, 6]]]
    result = evaluate(rows, gold)
    overall = ratios(2, 4, 4)
    assert (result["precision"], result["recall"], result["f1"]) == pytest.approx(overall)
    assert [result[f"{name}_date"] for name in ("precision", "recall", "f1")] == pytest.approx(ratios(1, 3, 2))
    assert [result[f"{name}_person"] for name in ("precision", "recall", "f1")] == [1.0, 1.0, 1.0]
    assert [result[f"{name}_place"] for name in ("precision", "recall", "f1")] == [0.0, 0.0, 0.0]
    assert result["macro_precision"] == pytest.approx((1 / 3 + 1 + 0) / 3)


def test_the_same_span_in_another_sample_is_wrong() -> None:
    result = evaluate([[PAD], [[0, 1, 2]]], [[[0, 1, 2]], [PAD]])
    assert (result["precision"], result["recall"]) == (0.0, 0.0)


def test_missed_entities_lower_recall_only() -> None:
    gold, rows = [[[0, 1, 2], [1, 3, 3]]], [[[0, 1, 2], [1, 3, 3]]]
    full = evaluate(rows, gold)
    assert full["f1"] == 1.0
    result = evaluate(rows, gold, unaligned={"person": 3})
    assert (result["precision"], result["recall"]) == (1.0, 2 / 5)
    assert (result["precision_person"], result["recall_person"]) == (1.0, 1 / 4)
    assert (result["precision_date"], result["recall_date"]) == (1.0, 1.0)


def test_missed_entities_are_no_gold_span_of_the_first_token() -> None:
    result = evaluate([[[1, 0, 0]]], [[[1, 0, 0]]], unaligned={"person": 1})
    assert (result["precision"], result["recall"]) == (1.0, 0.5)


def test_without_types_only_micro_and_macro() -> None:
    result = evaluate([[[0, 1, 2]]], [[[0, 1, 2]]], per_label=False)
    ones = dict.fromkeys(("precision", "recall", "f1", "macro_precision", "macro_recall", "macro_f1"), 1.0)
    assert result == ones


def test_every_type_is_reported_even_if_absent() -> None:
    result = evaluate([[PAD]], [[PAD]])
    assert {name.removeprefix("f1_") for name in result if name.startswith("f1_")} == set(ID2LABEL.values())
    assert set(result.values()) == {0.0}


@pytest.mark.parametrize(
    ("predictions", "named"),
    [
        (np.zeros((2, 3, 5, 5)), r"\(2, 3, 5, 5\)"),
        (np.zeros((2, 3, 4)), r"\(2, 3, 4\)"),
        (np.zeros((2, 3)), r"\(2, 3\)"),
        ((np.zeros((1, 1, 3)), np.zeros((1, 3, 5, 5))), "tuple"),
    ],
)
def test_logits_are_no_spans(predictions: object, named: str) -> None:
    prediction = EvalPrediction(predictions=predictions, label_ids=np.array([[PAD], [PAD]]))
    with pytest.raises(ValueError, match=rf"^Expected span rows of shape \(N, K, 3\), got {named};"):
        ComputeSpanMetrics(ID2LABEL)(prediction)


def test_labels_must_be_span_rows_too() -> None:
    prediction = EvalPrediction(predictions=np.array([[PAD]]), label_ids=np.zeros((1, 7)))
    with pytest.raises(ValueError, match=r"got \(1, 7\);"):
        ComputeSpanMetrics(ID2LABEL)(prediction)


def test_predictions_are_scored_in_characters() -> None:
    examples = [
        Example("Ada met Bob", (Entity(0, 3, "person"), Entity(8, 11, "person"), Entity(8, 11, "person"))),
        Example("in Rome", (Entity(3, 7, "place"),)),
        Example("nothing"),
    ]
    found = [
        [predicted("person", 0, 3), predicted("person", 8, 10)],
        [predicted("place", 3, 7), predicted("place", 3, 7)],
        [predicted("place", 3, 7)],
    ]
    metrics = score_predictions(examples, found, ["place", "event"])
    assert metrics.per_label == {
        "place": SpanCounts(1, 2, 1),
        "event": SpanCounts(0, 0, 0),
        "person": SpanCounts(1, 2, 2),
    }
    assert list(metrics.per_label) == ["place", "event", "person"]


def test_equal_texts_are_scored_apart() -> None:
    example = Example("in Rome", (Entity(3, 7, "place"),))
    metrics = score_predictions([example, example], [[predicted("place", 3, 7)], []])
    assert metrics.micro == SpanCounts(1, 1, 2)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_each_example_needs_its_predictions(count: int) -> None:
    with pytest.raises(ValueError, match="examples, but predictions for"):
        score_predictions([Example("a"), Example("b")], [[]] * count)


def test_a_type_called_macro_does_not_replace_the_macro_mean() -> None:
    metrics = SpanMetrics({"macro": SpanCounts(1, 1, 1), "x": SpanCounts(0, 1, 1)})
    assert (metrics.to_dict()["macro_f1"], metrics.to_dict()["f1_macro"]) == (0.5, 1.0)
