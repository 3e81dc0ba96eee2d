from pathlib import Path

import pytest
from transformers import pipeline

from hf_globalpointer import GlobalPointerNerPipeline
from hf_globalpointer.demo.found_spans import LEAST_PROBABILITY, find_spans


TEXTS = [("one", "Ada was in Rome"), ("two", "ab"), ("long", "Ada met Bob in 1 " * 10)]


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
    assert (model["name"], model["least"], model["overlap"]) == ("m", LEAST_PROBABILITY, "all")
    expected = recognizer([text for _, text in TEXTS], batch_size=16, threshold=LEAST_PROBABILITY)
    for found, spans in zip(expected, model["spans"], strict=True):
        place = [(e["start"], e["end"], recognizer.labels.index(e["entity_group"]), e["score"]) for e in found]
        assert [span[:4] for span in spans] == [pytest.approx(each) for each in place]
        # Of one type, the order by score is that by probability; between types it need not be.
        for label in range(3):
            ranked = sorted((span for span in spans if span[2] == label), key=lambda span: span[4])
            assert ranked == sorted(ranked, key=lambda span: span[3])
    assert progress[-1][0] == progress[-1][1] > len(TEXTS)


def test_thresholds_are_those_of_the_model_even_where_they_are_low(recognizer: GlobalPointerNerPipeline) -> None:
    recognizer.model.config.thresholds = {"person": 0.8, "place": 0.02}
    (model,) = find_spans({"m": recognizer}, TEXTS, lambda *_: None)["models"]
    assert model["thresholds"] == [0.5, 0.8, 0.02]
    assert model["least"] == 0.02


def test_models_with_other_labels_are_shown_together(checkpoint: Path, recognizer: GlobalPointerNerPipeline) -> None:
    other = pipeline("global-pointer-ner", model=str(checkpoint))
    other.model.config.id2label = {0: "place", 1: "date", 2: "event"}
    content = find_spans({"first": recognizer, "second": other}, TEXTS, lambda *_: None)
    assert content["labels"] == [*recognizer.labels, "event"]
    first, second = content["models"]
    renamed = {recognizer.labels.index("date"): "place", recognizer.labels.index("person"): "date", 2: "event"}
    for ours, theirs in zip(first["spans"], second["spans"], strict=True):
        expected = sorted((start, end, renamed[label]) for start, end, label, *_ in ours)
        assert expected == sorted((start, end, content["labels"][label]) for start, end, label, *_ in theirs)
