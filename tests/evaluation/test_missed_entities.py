from dataclasses import replace
from pathlib import Path

import pytest
import torch

from conftest import LABELS, examples_for, make_pipeline
from hf_globalpointer import (
    DataError,
    Entity,
    Evaluation,
    Example,
    MissedEntity,
    Recognizer,
    explain_misses,
    export_model,
)
from hf_globalpointer.evaluation.missed_entities import MissReason, search_options
from hf_globalpointer.evaluation.scored_documents import ScoredDocument, pair_predictions


def documents_of(recognizer: object, examples: list[Example], **options: object) -> list[ScoredDocument]:
    return pair_predictions(examples, recognizer([example.text for example in examples], **options))  # type: ignore[operator]


def dense_probability(pipe: object, text: str, entity: Entity) -> float:
    """From the tensor of all scores; every letter is a token, after one special token."""
    model, tokenizer = pipe.model, pipe.tokenizer  # type: ignore[attr-defined]
    with torch.no_grad():
        logits = model(**tokenizer(text, return_tensors="pt")).logits
    first, last = (len(text[:end].replace(" ", "")) for end in (entity.start + 1, entity.end))
    score = logits[0, model.config.label2id[entity.label], first, last]
    return float(torch.sigmoid(score.double()))


@pytest.mark.parametrize("overlap", ["all", "flat"])
def test_probabilities_are_those_of_the_dense_scores(overlap: str) -> None:
    pipe = make_pipeline("efficient", overlap=overlap, thresholds={"date": 0.55})
    examples = examples_for(make_pipeline("efficient", overlap="all"), 48)
    # Those that fit into one window.
    documents = documents_of(pipe, [example for example in examples if len(example.text) <= 30])
    misses = explain_misses(pipe, documents)
    assert {(miss.document, miss.entity) for miss in misses} == {
        (index, entity)
        for index, document in enumerate(documents)
        for entity in set(document.example.entities) - set(document.predicted)
    }
    for miss in misses:
        document = documents[miss.document]
        assert miss.threshold == (0.55 if miss.entity.label == "date" else 0.5)
        word = document.example.text[miss.entity.start : miss.entity.end]
        if word != word.strip():
            assert miss.reason is MissReason.not_aligned
            continue
        assert miss.probability is not None
        assert miss.probability == pytest.approx(dense_probability(pipe, document.example.text, miss.entity), abs=1e-5)
        over = miss.probability > miss.threshold
        assert miss.reason is (MissReason.suppressed if over else MissReason.under_threshold)
        if over:
            others = {
                p: score
                for p, score in document.predicted.items()
                if p.start < miss.entity.end and p.end > miss.entity.start
            }
            assert miss.conflict is not None
            assert others[miss.conflict] == max(others.values()) >= miss.probability
    reasons = {miss.reason for miss in misses}
    assert reasons == {MissReason.not_aligned, MissReason.under_threshold} | (
        {MissReason.suppressed} if overlap == "flat" else set()
    )


def test_the_options_of_the_predictions_count() -> None:
    pipe = make_pipeline("efficient")
    examples = examples_for(pipe)
    options = {"threshold": {"place": 0.9}, "overlap": "flat"}
    misses = explain_misses(pipe, documents_of(pipe, examples, **options), **options)
    assert {miss.threshold for miss in misses if miss.entity.label == "place"} == {0.9}
    assert MissReason.suppressed in {miss.reason for miss in misses}
    lowest = search_options(pipe, threshold={"place": 0.001}, max_length=20)
    assert lowest["threshold"] == {"date": 0.01, "person": 0.01, "place": 0.001}
    assert lowest["max_length"] == 20


def test_what_a_model_has_no_idea_of_and_what_no_model_can_find() -> None:
    pipe = make_pipeline("efficient", calibration={"date": [1.0, -30.0]}, max_span_length=4)
    example = Example("ab cdefgh", (Entity(0, 2, "date"), Entity(2, 5, "date"), Entity(3, 9, "person")))
    misses = explain_misses(pipe, documents_of(pipe, [example]))
    said = {miss.entity: (miss.reason, miss.explain(example.text)) for miss in misses}
    assert said == {
        Entity(0, 2, "date"): (MissReason.improbable, "probability under 0.01"),
        Entity(2, 5, "date"): (
            MissReason.not_aligned, "it cannot be predicted: it begins or ends where no token does"
        ),
        Entity(3, 9, "person"): (
            MissReason.not_aligned, "it cannot be predicted: it has more tokens than `max_span_length` allows"
        ),
    }  # fmt: skip


def test_what_the_number_of_spans_cuts() -> None:
    pipe = make_pipeline("efficient", overlap="all")
    examples = [example for example in examples_for(pipe, 48) if len(example.text) <= 30]
    misses = explain_misses(pipe, documents_of(pipe, examples, top_k=1), top_k=1)
    over = [miss for miss in misses if miss.probability is not None and miss.probability > miss.threshold]
    assert over
    assert {miss.reason for miss in over} == {MissReason.cut}
    assert over[0].explain("").endswith(", cut by `max_spans` or `top_k`")


def test_a_label_that_the_model_does_not_know_is_an_error() -> None:
    pipe = make_pipeline("efficient")
    with pytest.raises(DataError, match="label 'x' is none of"):
        explain_misses(pipe, documents_of(pipe, [Example("ab", (Entity(0, 2, "x"),))]))


def test_nothing_is_run_where_nothing_was_missed() -> None:
    pipe = make_pipeline("efficient")
    example = Example("ab cd")
    assert explain_misses(pipe, documents_of(pipe, [example])) == []


def test_exported_models_tell_the_same(tmp_path: Path) -> None:
    pipe = make_pipeline("efficient", overlap="flat")
    examples = examples_for(pipe)
    export_model(pipe, tmp_path / "exported", format="onnx")
    exported = Recognizer(tmp_path / "exported")
    documents = documents_of(pipe, examples)
    ours, theirs = (explain_misses(each, documents, batch_size=3) for each in (pipe, exported))
    assert [(m.document, m.entity, m.reason) for m in theirs] == [(m.document, m.entity, m.reason) for m in ours]
    assert [m.probability for m in theirs] == pytest.approx([m.probability for m in ours], abs=1e-5)


def test_what_is_said() -> None:
    entity = Entity(0, 2, LABELS[0])
    near = MissedEntity(3, entity, MissReason.under_threshold, 0.4444, 0.5)
    assert near.explain("ab cd") == "probability 0.4444, threshold 0.5000"
    conflict = Entity(0, 5, "person")
    far = MissedEntity(3, entity, MissReason.suppressed, 0.7, 0.5, conflict=conflict)
    assert far.explain("ab cd") == "probability 0.7000, threshold 0.5000, suppressed by person “ab cd”"
    both = replace(near, conflict=conflict)
    assert both.explain("ab cd") == "probability 0.4444, threshold 0.5000, in its place person “ab cd”"
    assert near.to_dict() == {
        "reason": "under the threshold", "probability": 0.4444, "threshold": 0.5, "alignment": None,
        "conflict": None,
    }  # fmt: skip
    assert far.to_dict()["conflict"] == {"start": 0, "end": 5, "label": "person"}


def test_by_the_rule_nested_only_what_crosses_keeps_away() -> None:
    pipe = make_pipeline("efficient", overlap="nested")
    examples = examples_for(make_pipeline("efficient", overlap="all"), 48)
    documents = documents_of(pipe, examples)
    suppressed = [miss for miss in explain_misses(pipe, documents) if miss.reason is MissReason.suppressed]
    assert suppressed
    for miss in suppressed:
        conflict, entity = miss.conflict, miss.entity
        assert conflict is not None
        first, second = sorted([(conflict.start, conflict.end), (entity.start, entity.end)])
        assert first[0] < second[0] < first[1] < second[1]


def test_a_document_tells_what_was_missed() -> None:
    example = Example("ab cd", (Entity(0, 2, "date"), Entity(3, 5, "person")))
    predictions = [[{"start": 0, "end": 2, "entity_group": "date", "score": 0.9}]]
    (document,) = Evaluation.from_predictions([example], predictions).documents
    assert document.missed == {Entity(3, 5, "person")}
