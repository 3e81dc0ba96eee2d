from collections import Counter
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForTokenClassification, PreTrainedTokenizerFast, pipeline

from conftest import make_model
from hf_globalpointer import GlobalPointerNerPipeline


TEXTS = ["ada met bob.", "", "x", "lou went to ely, then to rye", "  \t ", "é ada ü"]


@pytest.fixture(params=["full", "efficient"])
def pipe(request: pytest.FixtureRequest, char_tokenizer: PreTrainedTokenizerFast) -> GlobalPointerNerPipeline:
    # Scores of an untrained model lie on both sides of its threshold.
    return GlobalPointerNerPipeline(model=make_model(request.param), tokenizer=char_tokenizer, task="x")


def from_logits(pipe: GlobalPointerNerPipeline, text: str, offset: int = 0) -> dict[tuple[str, int, int], float]:
    """What must be found in one text that fits the encoder, cell by cell from the dense logits."""
    inputs = pipe.tokenizer(text, return_tensors="pt", return_offsets_mapping=True, return_special_tokens_mask=True)
    offsets, special = inputs.pop("offset_mapping")[0].tolist(), inputs.pop("special_tokens_mask")[0].tolist()
    with torch.no_grad():
        logits = pipe.model(**inputs).logits[0]
    return {
        (pipe.model.config.id2label[a], offset + offsets[i][0], offset + offsets[j][1]): logits[a, i, j]
        .sigmoid()
        .item()
        for a, i, j in (logits > 0).nonzero().tolist()
        if not special[i] and not special[j]
    }


def as_dict(entities: list[dict[str, object]]) -> dict[tuple[str, int, int], float]:
    return {(e["entity_group"], e["start"], e["end"]): e["score"] for e in entities}


@pytest.mark.parametrize("batch_size", [1, 2, 4, 16])
def test_entities_are_those_of_the_logits_for_any_batch_size(pipe: GlobalPointerNerPipeline, batch_size: int) -> None:
    results = pipe(TEXTS, batch_size=batch_size)
    assert len(results) == len(TEXTS)
    assert sum(map(len, results)) > 20
    for text, entities in zip(TEXTS, results, strict=True):
        assert as_dict(entities) == pytest.approx(from_logits(pipe, text), abs=1e-5)
        assert all(entity["word"] == text[entity["start"] : entity["end"]] for entity in entities)
        assert entities == sorted(entities, key=lambda e: (e["start"], -e["end"], e["entity_group"]))


def test_one_text_a_list_a_tuple_and_a_generator_give_the_same(pipe: GlobalPointerNerPipeline) -> None:
    listed = pipe(TEXTS)
    assert [pipe(text) for text in TEXTS] == listed
    assert pipe(tuple(TEXTS)) == listed
    streamed = pipe(text for text in TEXTS)
    assert not isinstance(streamed, list)
    assert list(streamed) == listed
    assert pipe([]) == []


def test_entities_hold_the_documented_fields(pipe: GlobalPointerNerPipeline) -> None:
    entity = pipe(TEXTS[0])[0]
    assert {name: type(value) for name, value in entity.items()} == {
        "entity_group": str,
        "score": float,
        "word": str,
        "start": int,
        "end": int,
    }


def test_nested_entities_are_kept(pipe: GlobalPointerNerPipeline) -> None:
    entities = pipe(TEXTS[3])
    assert any(
        a["start"] <= b["start"] and b["end"] <= a["end"] and (a["start"], a["end"]) != (b["start"], b["end"])
        for a in entities
        for b in entities
    )


def test_batches_reach_the_encoder_whole(pipe: GlobalPointerNerPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    encoder = pipe.model.bert
    forward = encoder.forward
    monkeypatch.setattr(
        encoder, "forward", lambda **inputs: sizes.append(len(inputs["input_ids"])) or forward(**inputs)
    )
    pipe(["ada"] * 10, batch_size=4)
    assert sizes == [4, 4, 2]


def test_the_threshold_of_the_call(pipe: GlobalPointerNerPipeline) -> None:
    everything = from_logits(pipe, TEXTS[3])
    for threshold in (0.6, 0.9):
        expected = {key: score for key, score in everything.items() if score > threshold}
        assert as_dict(pipe(TEXTS[3], threshold=threshold)) == pytest.approx(expected, abs=1e-5)
    by_label = {key: score for key, score in everything.items() if key[0] != "place" or score > 0.8}
    assert len(by_label) < len(everything)
    assert as_dict(pipe(TEXTS[3], threshold={"place": 0.8})) == pytest.approx(by_label, abs=1e-5)
    with pytest.raises(ValueError, match="none of"):
        pipe(TEXTS[3], threshold={"planet": 0.5})


def test_the_score_is_relative_to_the_models_threshold(pipe: GlobalPointerNerPipeline) -> None:
    pipe.model.config.score_threshold = 0.5
    entities = pipe(TEXTS[3])
    expected = {
        key: torch.tensor(score, dtype=torch.float64).logit().sub(0.5).sigmoid().item()
        for key, score in from_logits(pipe, TEXTS[3]).items()
    }
    assert as_dict(entities) == pytest.approx({k: v for k, v in expected.items() if v > 0.5}, abs=1e-5)


LONG = "abcd efgh ijkl mnop qrst uvwx yzab cdef ghij klmn opqr stuv wxyz abcd efgh ijkl"  # 64 letters, 38 fit


def test_a_long_text_is_the_union_of_its_windows(pipe: GlobalPointerNerPipeline) -> None:
    pipe.model.config.max_spans = 10_000
    expected: dict[tuple[str, int, int], float] = {}
    letters = [index for index, letter in enumerate(LONG) if letter != " "]
    for first in (0, 28):  # 38 letters a window, 10 of them in both
        start, end = letters[first], letters[min(first + 38, len(letters)) - 1] + 1
        for key, score in from_logits(pipe, LONG[start:end], offset=start).items():
            expected[key] = max(score, expected.get(key, 0.0))
    entities = pipe(LONG, stride=10)
    assert as_dict(entities) == pytest.approx(expected, abs=1e-5)
    assert len(as_dict(entities)) == len(entities)
    assert max(entity["end"] for entity in entities) == len(LONG)
    batched = pipe([TEXTS[0], LONG, TEXTS[1], LONG], stride=10, batch_size=3)
    assert as_dict(batched[1]) == as_dict(batched[3]) == pytest.approx(expected, abs=1e-5)


def test_a_short_text_does_not_care_about_windows(pipe: GlobalPointerNerPipeline) -> None:
    assert pipe(TEXTS[3], stride=0) == pipe(TEXTS[3], stride=30) == pipe(TEXTS[3])


def test_a_stride_that_leaves_no_room_is_an_error(pipe: GlobalPointerNerPipeline) -> None:
    with pytest.raises(ValueError, match=r"`stride` must be in 0\.\.37"):
        pipe(LONG, stride=38)


def test_left_padding_gives_the_same(pipe: GlobalPointerNerPipeline) -> None:
    expected = [Counter(as_dict(entities).keys()) for entities in pipe(TEXTS[:1] * 3, batch_size=3)]
    pipe.tokenizer.padding_side = "left"
    assert [Counter(as_dict(entities).keys()) for entities in pipe(TEXTS[:1] * 3, batch_size=3)] == expected


@pytest.mark.parametrize("wrong", [3, None, b"bytes", ["a", 3]])
def test_what_is_no_text_is_a_type_error(pipe: GlobalPointerNerPipeline, wrong: object) -> None:
    with pytest.raises(TypeError, match="takes text"):
        pipe(wrong)


def test_lone_surrogates_keep_their_place(pipe: GlobalPointerNerPipeline) -> None:
    text = "ada \ud83d bob"
    assert as_dict(pipe(text)) == pytest.approx(as_dict(pipe("ada é bob")), abs=1e-6)


def test_a_model_of_another_kind_is_refused(
    char_tokenizer: PreTrainedTokenizerFast, minilm: str, tmp_path: Path
) -> None:
    model = AutoModelForTokenClassification.from_pretrained(minilm)
    with pytest.raises(ValueError, match="needs a GlobalPointer model, got BertForTokenClassification"):
        GlobalPointerNerPipeline(model=model, tokenizer=char_tokenizer, task="global-pointer-ner")


def test_a_saved_pipeline_loads_by_task_without_trust(pipe: GlobalPointerNerPipeline, tmp_path: Path) -> None:
    pipe.save_pretrained(tmp_path)
    assert not list(tmp_path.glob("*.py"))
    assert "custom_pipelines" not in (tmp_path / "config.json").read_text()
    again = pipeline("global-pointer-ner", model=str(tmp_path))
    assert type(again) is GlobalPointerNerPipeline
    assert again(TEXTS) == pipe(TEXTS)
