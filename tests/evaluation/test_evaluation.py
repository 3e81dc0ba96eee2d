import json

import pytest

from hf_globalpointer.data import Entity, Example
from hf_globalpointer.evaluation.evaluation import Evaluation
from hf_globalpointer.evaluation.metrics import SpanCounts


EXAMPLES = [Example("Ada met Bob", (Entity(0, 3, "p"), Entity(8, 11, "p")), id=7), Example("in Rome")]
PREDICTIONS = [
    [{"entity_group": "p", "score": 0.9, "word": "Ada", "start": 0, "end": 3}],
    [{"entity_group": "l", "score": 0.8, "word": "Rome", "start": 3, "end": 7}],
]


def test_labels_given_come_first_and_others_after() -> None:
    assert Evaluation.from_predictions(EXAMPLES, PREDICTIONS).labels == ["l", "p"]
    assert Evaluation.from_predictions(EXAMPLES, PREDICTIONS, ["x", "p"]).labels == ["x", "p", "l"]


def test_every_breakdown_counts_every_entity() -> None:
    evaluation = Evaluation.from_predictions(EXAMPLES, PREDICTIONS)
    for breakdown in (evaluation.types, evaluation.lengths, evaluation.longest, evaluation.densities):
        assert breakdown.metrics.micro == SpanCounts(correct=1, predicted=2, gold=2)
        assert breakdown.to_dict().keys() == breakdown.metrics.per_label.keys()


def test_all_that_is_told_is_of_the_types_of_json() -> None:
    content = Evaluation.from_predictions(EXAMPLES, PREDICTIONS, ["x"]).to_dict()
    assert json.loads(json.dumps(content)) == content
    assert content["documents"] == 2
    assert {name: content["micro"][name] for name in ("correct", "predicted", "gold")} == {
        "correct": 1, "predicted": 2, "gold": 2
    }  # fmt: skip
    assert content["types"]["x"]["f1"] == {"value": 0.0, "low": None, "high": None}
    assert content["macro"]["f1"]["value"] == pytest.approx((2 / 3 + 0) / 2)
    assert content["boundaries_only"]["correct"] == content["labels_only"]["correct"] == 1
    assert content["confusion"] == [
        {"gold": "p", "predicted": "p", "count": 1},
        {"gold": "p", "predicted": None, "count": 1},
        {"gold": None, "predicted": "l", "count": 1},
    ]
    assert content["errors"] == [
        {
            "kind": "missed", "document": 0, "id": 7, "source": None, "predicted": None,
            "gold": {"start": 8, "end": 11, "label": "p", "word": "Bob"},
        },
        {
            "kind": "spurious", "document": 1, "id": None, "source": None, "gold": None,
            "predicted": {"start": 3, "end": 7, "label": "l", "word": "Rome"},
        },
    ]  # fmt: skip


def test_each_example_needs_its_predictions() -> None:
    with pytest.raises(ValueError, match="2 examples, but predictions for 1"):
        Evaluation.from_predictions(EXAMPLES, PREDICTIONS[:1])
