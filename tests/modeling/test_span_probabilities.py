import math

import pytest
import torch

from conftest import LABELS, make_model, make_pipeline
from hf_globalpointer import BertEfficientGlobalPointerConfig
from hf_globalpointer.modeling.span_probabilities import HIGHEST, score_limits, span_probability, span_score


CALIBRATION = {"person": [0.5, -1.0], "place": [2.0, 0.25]}


def config(**fields: object) -> BertEfficientGlobalPointerConfig:
    return BertEfficientGlobalPointerConfig(labels=LABELS, score_threshold=0.5, calibration=CALIBRATION, **fields)


def test_probabilities_are_those_of_the_formula() -> None:
    expected = {"date": 2.5, "person": 0.5 * 2.5 - 1, "place": 2 * 2.5 + 0.25}
    for label, logit in expected.items():
        assert span_probability(config(), label, 3.0) == pytest.approx(1 / (1 + math.exp(-logit)))
        assert span_score(config(), label, 1 / (1 + math.exp(-logit))) == pytest.approx(3.0)
    assert span_probability(config(), "person", -1.5) == pytest.approx(1 / (1 + math.exp(2)))


def test_scores_of_any_size_have_probabilities() -> None:
    assert span_probability(config(), "date", 1e300) == 1.0
    assert span_probability(config(), "date", -1e300) == 0.0
    assert span_score(config(), "date", 1.0) == span_score(config(), "date", HIGHEST) == pytest.approx(36.5, abs=0.1)


def test_limits_are_the_scores_of_the_thresholds() -> None:
    for thresholds in (None, 0.3, {"person": 0.9}):
        own = config(thresholds={"place": 0.6})
        limits = zip(LABELS, score_limits(own, thresholds), strict=True)
        probabilities = [span_probability(own, label, limit) for label, limit in limits]
        given = thresholds if isinstance(thresholds, dict) else dict.fromkeys(LABELS, thresholds) if thresholds else {}
        assert probabilities == pytest.approx([{"place": 0.6, **given}.get(label, 0.5) for label in LABELS])


def test_a_model_in_evaluation_and_the_pipeline_choose_between_labels_by_the_score() -> None:
    """And so with every calibration, of thresholds that follow it, the same."""
    pipe = make_pipeline("efficient", overlap="flat")
    text = "ab cd ef gh ab"
    every, best = [], []
    for calibration in ({}, {"person": [0.05, 0.1], "place": [3.0, 2.0], "date": [0.3, 0.0]}):
        pipe.model.config.calibration = calibration
        pipe.model.config.thresholds = {label: 1 / (1 + math.exp(-shift)) for label, (_, shift) in calibration.items()}
        inputs = pipe.tokenizer(text, return_tensors="pt", return_special_tokens_mask=True)
        special = inputs.pop("special_tokens_mask")
        with torch.no_grad():
            spans = pipe.model(**inputs, span_token_mask=1 - special, labels=torch.tensor([[[0, 1, 1]]])).spans[0]
        offsets = pipe.tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
        found = {(offsets[i][0], offsets[j][1], LABELS[label]) for label, i, j in spans.tolist()}
        assert found == {(e["start"], e["end"], e["entity_group"]) for e in pipe(text)}
        every.append(found)
        best.append([{**entity, "score": None} for entity in pipe(text, top_k=1)])
    assert every[0] == every[1]
    assert len(every[0]) > len(best[0]) == 1
    assert best[0] == best[1]


@pytest.mark.parametrize(
    ("calibration", "message"),
    [
        ({"b": [1.0, 0.0]}, "`calibration` names 'b', which is none of the labels"),
        ({"date": [0.0, 1.0]}, r"`calibration\['date'\]` must be a scale above 0 and a shift"),
        ({"date": [1.0]}, "must be a scale above 0 and a shift"),
        ({"date": [1.0, math.inf]}, "must be a scale above 0 and a shift"),
    ],
)
def test_what_is_no_calibration_is_refused(calibration: dict[str, list[float]], message: str) -> None:
    with pytest.raises(Exception, match=message):
        make_model("efficient", calibration=calibration)


def test_labels_that_stay_keep_their_calibration() -> None:
    model = make_model("efficient", calibration=CALIBRATION)
    model.set_labels(["place", "new"])
    assert model.config.calibration == {"place": [2.0, 0.25]}
    assert config().with_labels(["date"]).calibration is None
