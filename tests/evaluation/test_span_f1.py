"""Agreement with other implementations: seqeval on flat data, sets counted by hand on nested data, and Evaluate."""

from pathlib import Path
from typing import Any

import evaluate
import pytest
from hypothesis import given, strategies as st
from seqeval.metrics import f1_score, precision_score, recall_score
from seqeval.scheme import IOB2

from hf_globalpointer.data import Entity, Example
from hf_globalpointer.evaluation.metrics import SPAN_F1, SpanCounts, score_predictions


Segments = list[tuple[str, int]]  # of a text: type ("" for none) and number of words
RATIOS = {"precision": precision_score, "recall": recall_score, "f1": f1_score}

entity_sets = st.frozensets(
    st.builds(
        lambda start, length, label: Entity(start, start + length, label),
        st.integers(0, 6),
        st.integers(1, 6),
        st.sampled_from("xyz"),
    ),
    max_size=8,
)


@st.composite
def tagged_texts(draw: st.DrawFn) -> tuple[list[Segments], list[Segments]]:
    """Gold and predicted segments of texts of the same number of words."""
    segments = st.lists(st.tuples(st.sampled_from(["", "", "x", "y", "z"]), st.integers(1, 3)), min_size=1, max_size=6)
    gold, found = draw(st.lists(segments, min_size=1, max_size=4)), []
    for text in gold:
        # Predictions near the truth, so that some are right.
        changed = [(draw(st.sampled_from([label, label, "", "x", "z"])), length) for label, length in text]
        if draw(st.booleans()):
            changed = [part for label, length in changed for part in [(label, 1)] * length]
        found.append(changed)
    return gold, found


def tags_of(text: Segments) -> list[str]:
    return [f"{'I' if word else 'B'}-{label}" if label else "O" for label, length in text for word in range(length)]


def entities_of(text: Segments) -> list[Entity]:
    entities, start = [], 0
    for label, length in text:
        if label:
            entities.append(Entity(2 * start, 2 * (start + length) - 1, label))
        start += length
    return entities


def predictions_of(entities: Any) -> list[dict[str, Any]]:
    return [
        {"entity_group": e.label, "score": 0.9, "word": "", "start": e.start, "end": e.end} for e in sorted(entities)
    ]


# seqeval warns of types that it divides by zero for.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.UndefinedMetricWarning")
@given(tagged_texts())
def test_agrees_with_strict_seqeval_on_flat_entities(texts: tuple[list[Segments], list[Segments]]) -> None:
    gold, found = texts
    tags = [[tags_of(text) for text in side] for side in texts]
    examples = [
        Example("w " * len(words), tuple(entities_of(text))) for words, text in zip(tags[0], gold, strict=True)
    ]
    result = score_predictions(examples, [predictions_of(entities_of(text)) for text in found]).to_dict()
    labels = sorted({tag[2:] for side in tags for words in side for tag in words} - {""})
    if not labels:
        assert set(result.values()) == {0.0}
        return
    for name, function in RATIOS.items():
        options: dict[str, Any] = {"mode": "strict", "scheme": IOB2, "zero_division": 0}
        assert result[name] == pytest.approx(function(*tags, average="micro", **options))
        assert result[f"macro_{name}"] == pytest.approx(function(*tags, average="macro", **options))
        of_labels = function(*tags, average=None, **options)
        assert [result[f"{name}_{label}"] for label in labels] == pytest.approx(list(of_labels))


@given(st.lists(st.tuples(entity_sets, entity_sets), max_size=4))
def test_agrees_with_sets_on_nested_entities(pairs: list[tuple[frozenset[Entity], frozenset[Entity]]]) -> None:
    examples = [Example("w" * 12, tuple(gold)) for gold, _ in pairs]
    metrics = score_predictions(examples, [predictions_of(found) for _, found in pairs], "xyz")
    for label in "xyz":
        sides = [[{(e.start, e.end) for e in side if e.label == label} for side in pair] for pair in pairs]
        assert metrics.per_label[label] == SpanCounts(
            sum(len(gold & found) for gold, found in sides),
            sum(len(found) for _, found in sides),
            sum(len(gold) for gold, _ in sides),
        )


@pytest.fixture
def metric(tmp_path: Path) -> Any:
    return evaluate.load(SPAN_F1, cache_dir=str(tmp_path))


def test_evaluate_gives_the_same_scores(metric: Any) -> None:
    gold = [[Entity(0, 4, "x"), Entity(0, 2, "y"), Entity(1, 2, "x")], [], [Entity(3, 4, "y")]]
    found = [[Entity(0, 4, "x"), Entity(1, 2, "y")], [Entity(0, 1, "z")], [Entity(3, 4, "y")]]
    examples = [Example("w" * 5, tuple(entities)) for entities in gold]
    predictions = [predictions_of(entities) for entities in found]
    references = [[{"start": e.start, "end": e.end, "label": e.label} for e in entities] for entities in gold]
    expected = score_predictions(examples, predictions, ["q"])
    assert metric.compute(predictions=predictions, references=references, labels=["q"]) == expected.to_dict()
    assert metric.compute(predictions=predictions, references=references, per_label=False) == score_predictions(
        examples, predictions
    ).to_dict(per_label=False)
    for batch in (slice(0, 1), slice(1, 3)):
        metric.add_batch(predictions=predictions[batch], references=references[batch])
    assert metric.compute(labels=["q"]) == expected.to_dict()


def test_evaluate_describes_the_metric(metric: Any) -> None:
    assert "nested" in metric.description
    assert "entity_group" in metric.inputs_description
