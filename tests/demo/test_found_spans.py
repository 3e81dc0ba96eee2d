from pathlib import Path

import pytest
import torch
from transformers import pipeline

from hf_globalpointer import GlobalPointerNerPipeline
from hf_globalpointer.demo.found_spans import LEAST_PROBABILITY, MAX_SPANS, find_spans
from hf_globalpointer.modeling.span_probabilities import span_probability


TEXTS = [("one", "Ada was in Rome"), ("two", "ab"), ("blank", " "), ("long", "Ada met Bob in 1 " * 10)]


@pytest.fixture
def recognizer(checkpoint: Path) -> GlobalPointerNerPipeline:
    return pipeline("global-pointer-ner", model=str(checkpoint))


def test_all_spans_come_with_probability_and_score(recognizer: GlobalPointerNerPipeline) -> None:
    recognizer.model.config.calibration = {"place": [0.5, 1.0]}
    progress: list[tuple[int, int]] = []
    content = find_spans({"m": recognizer}, TEXTS, lambda done, total: progress.append((done, total)))
    assert content["labels"] == recognizer.labels
    assert content["texts"] == [{"title": title, "text": text} for title, text in TEXTS]
    (model,) = content["models"]
    assert (model["name"], model["least"], model["overlap"]) == ("m", [LEAST_PROBABILITY] * 3, "all")
    texts = [text for _, text in TEXTS]
    expected = recognizer(texts, batch_size=16, threshold=LEAST_PROBABILITY, max_spans=MAX_SPANS)
    for found, spans in zip(expected, model["spans"], strict=True):
        place = [(e["start"], e["end"], recognizer.labels.index(e["entity_group"]), e["score"]) for e in found]
        assert [span[:4] for span in spans] == [pytest.approx(each) for each in place]
        for _, _, label, probability, score in spans:
            name = recognizer.labels[label]
            assert probability == span_probability(recognizer.model.config, name, score)
    # A blank text has nothing to be read.
    assert progress[-1][0] == progress[-1][1] >= len(TEXTS) - 1


def test_high_scores_come_as_they_are(recognizer: GlobalPointerNerPipeline) -> None:
    """Probabilities of 1 do not tell one from another."""
    with torch.no_grad():
        recognizer.model.classifier.dense_2.bias += 100
    (model,) = find_spans({"m": recognizer}, [("a", "ab")], lambda *_: None)["models"]
    (spans,) = model["spans"]
    assert {span[3] for span in spans} == {1.0}
    assert len({span[4] for span in spans}) == len(spans) > 3


def test_thresholds_are_those_of_the_model_even_where_they_are_low(recognizer: GlobalPointerNerPipeline) -> None:
    recognizer.model.config.thresholds = {"person": 0.8, "place": 0.02}
    (model,) = find_spans({"m": recognizer}, TEXTS, lambda *_: None)["models"]
    assert model["thresholds"] == [0.5, 0.8, 0.02]
    # Another type is not shown at the low threshold of one.
    assert model["least"] == [LEAST_PROBABILITY, LEAST_PROBABILITY, 0.02]
    assert all(span[3] > model["least"][span[2]] for spans in model["spans"] for span in spans)


def test_improbable_spans_take_the_place_of_no_other(recognizer: GlobalPointerNerPipeline) -> None:
    recognizer.model.config.max_spans = 50
    (model,) = find_spans({"m": recognizer}, TEXTS, lambda *_: None)["models"]
    chosen = {tuple(span[:3]) for span in model["spans"][0] if span[3] > 0.5}
    found = {(e["start"], e["end"], recognizer.labels.index(e["entity_group"])) for e in recognizer(TEXTS[0][1])}
    assert found <= chosen
    assert len(model["spans"][0]) > 50


def test_models_with_other_labels_are_shown_together(checkpoint: Path, recognizer: GlobalPointerNerPipeline) -> None:
    other = pipeline("global-pointer-ner", model=str(checkpoint))
    other.model.config.id2label = {0: "place", 1: "date", 2: "event"}
    content = find_spans({"first": recognizer, "second": other}, TEXTS, lambda *_: None)
    assert content["models"][0]["thresholds"][-1] is None
    assert content["labels"] == [*recognizer.labels, "event"]
    first, second = content["models"]
    renamed = {recognizer.labels.index("date"): "place", recognizer.labels.index("person"): "date", 2: "event"}
    for ours, theirs in zip(first["spans"], second["spans"], strict=True):
        expected = sorted((start, end, renamed[label]) for start, end, label, *_ in ours)
        assert expected == sorted((start, end, content["labels"][label]) for start, end, label, *_ in theirs)
