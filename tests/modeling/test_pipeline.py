from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoModelForTokenClassification, PreTrainedTokenizerFast, pipeline
from transformers.pipelines.pt_utils import KeyDataset

from conftest import bounds_of, make_model, owner_of
from hf_globalpointer import GlobalPointerNerPipeline
from hf_globalpointer.modeling.span_scores import ScoredSpans
from hf_globalpointer.modeling.text_recognizer import Document


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


@torch.no_grad()
def windows_by_hand(
    pipe: GlobalPointerNerPipeline, text: str, stride: int, threshold: float
) -> dict[tuple[str, int, int], float]:
    """The spans of a text of small letters, from the dense logits of its windows, each from the one it is amid."""
    letters = [index for index, letter in enumerate(text) if letter != " "]
    ids = [pipe.tokenizer.vocab[text[index]] for index in letters]
    best: dict[tuple[str, int, int], float] = {}
    bounds = bounds_of(pipe.tokenizer, text, 40, stride)
    for number, (begin, end) in enumerate(bounds):
        window = torch.tensor([[2, *ids[begin:end], 3]])
        scores = pipe.model(input_ids=window).logits[0, :, 1:-1, 1:-1].double().sigmoid()
        for a, i, j in (scores > threshold).nonzero().tolist():
            if owner_of(bounds, begin + i, begin + j) == number:
                best[pipe.model.config.id2label[a], letters[begin + i], letters[begin + j] + 1] = scores[
                    a, i, j
                ].item()
    return best


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


@pytest.mark.parametrize(("overlap", "kept"), [("all", 3), ("nested", 2), ("flat", 1)])
def test_nested_and_crossing_entities_are_kept_as_the_model_says(
    pipe: GlobalPointerNerPipeline, monkeypatch: pytest.MonkeyPatch, overlap: str, kept: int
) -> None:
    # "ada met", what lies in it, and what crosses it, each scoring less; tokens are letters.
    spans, scores = torch.tensor([[[0, 1, 6], [1, 1, 3], [0, 5, 9]]]), torch.tensor([[3.0, 2.0, 1.0]])
    monkeypatch.setattr(pipe.model, "decode", lambda *_: ScoredSpans(spans, scores, torch.tensor(0)))
    monkeypatch.setattr(pipe.model.config, "overlap", overlap)
    expected = [("ada met", 0, 7), ("ada", 0, 3), ("et bob", 5, 11)][:kept]
    assert [(e["word"], e["start"], e["end"]) for e in pipe(TEXTS[0])] == expected


def test_a_model_in_training_predicts_without_dropout(char_tokenizer: PreTrainedTokenizerFast) -> None:
    pipe = GlobalPointerNerPipeline(model=make_model("full", head_dropout=0.9), tokenizer=char_tokenizer, task="x")
    expected = pipe(TEXTS)
    pipe.model.train()
    assert pipe(TEXTS) == expected


def test_workers_change_nothing(pipe: GlobalPointerNerPipeline) -> None:
    assert pipe(TEXTS, num_workers=2) == pipe(TEXTS)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_scores_that_are_no_numbers_are_no_empty_result(pipe: GlobalPointerNerPipeline, value: float) -> None:
    next(pipe.model.classifier.parameters()).data[0, 0] = value
    with pytest.raises(FloatingPointError, match=r"not finite numbers .* its training diverged"):
        pipe(TEXTS[0])


def test_the_documented_mask_of_special_tokens_gives_the_entities_of_the_pipeline(
    pipe: GlobalPointerNerPipeline,
) -> None:
    inputs = pipe.tokenizer(TEXTS[0], return_tensors="pt", return_special_tokens_mask=True)
    special = inputs.pop("special_tokens_mask")
    logits = pipe.model(**inputs, span_token_mask=1 - special).logits
    assert logits.isfinite().all()
    assert (logits > 0).sum() == len(pipe(TEXTS[0]))


def test_batches_reach_the_encoder_whole(pipe: GlobalPointerNerPipeline, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    encoder = pipe.model.bert
    forward = encoder.forward
    monkeypatch.setattr(
        encoder, "forward", lambda **inputs: sizes.append(len(inputs["input_ids"])) or forward(**inputs)
    )
    pipe(["ada"] * 10, batch_size=4)
    assert sizes == [4, 4, 2]


@pytest.mark.parametrize(
    ("device", "lengths", "expected"),
    [
        ("cpu", [3, 30, *[3] * 10], [[30], [3] * 8, [3] * 3]),
        ("cpu", [30, 3, 30, 4, 20, 3], [[30, 30, 20], [4, 3, 3]]),
        ("cpu", [20, 3], [[20, 3]]),
        ("cuda", [3, 30, *[3] * 10], [[30, *[3] * 7], [3] * 4]),
    ],
)
def test_batches_end_where_padding_would_cost_more_than_another(
    device: str, lengths: list[int], expected: list[list[int]], pipe: GlobalPointerNerPipeline
) -> None:
    windows = pipe.windows([Document("a" * length, None) for length in lengths])
    pipe.device = torch.device(device)
    batches = list(pipe.batches(windows, 8))
    assert [[len(window.offsets) - 2 for window in batch] for batch in batches] == expected


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


def test_a_long_text_is_read_in_windows(pipe: GlobalPointerNerPipeline) -> None:
    pipe.model.config.max_spans = 10_000
    bounds = bounds_of(pipe.tokenizer, LONG, 40, 10)
    assert all(end - begin >= 10 for (_, end), (begin, _) in pairwise(bounds))
    expected = windows_by_hand(pipe, LONG, 10, 0.5)
    entities = pipe(LONG, stride=10)
    assert as_dict(entities) == pytest.approx(expected, abs=1e-5)
    assert len(as_dict(entities)) == len(entities)
    assert max(entity["end"] for entity in entities) == len(LONG)
    batched = pipe([TEXTS[0], LONG, TEXTS[1], LONG], stride=10, batch_size=3)
    for found in (batched[1], batched[3]):
        assert as_dict(found) == pytest.approx(expected, abs=1e-5)


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


def rows(texts: list[Any]) -> Dataset:
    return Dataset.from_dict({"text": texts, "number": list(range(len(texts)))})


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(tuple, id="tuple"),
        pytest.param(iter, id="iterator"),
        pytest.param(np.array, id="array"),
        pytest.param(rows, id="dataset"),
        pytest.param(lambda texts: rows(texts)["text"], id="column"),
        pytest.param(lambda texts: rows(texts).to_iterable_dataset(), id="iterable-dataset"),
        pytest.param(lambda texts: [{"text": text} for text in texts], id="rows"),
        pytest.param(lambda texts: KeyDataset(rows(texts), "text"), id="key-dataset"),
    ],
)
@pytest.mark.parametrize("batch_size", [1, 4])
def test_texts_come_in_any_container(
    pipe: GlobalPointerNerPipeline, make: Callable[[list[str]], Any], batch_size: int
) -> None:
    found = list(pipe(make(TEXTS), batch_size=batch_size))
    assert [as_dict(entities) for entities in found] == [
        pytest.approx(as_dict(entities), abs=1e-5) for entities in pipe(TEXTS)
    ]


def test_one_row_gives_the_entities_of_its_text(pipe: GlobalPointerNerPipeline) -> None:
    assert pipe({"text": TEXTS[0], "number": 3}) == pipe(TEXTS[0])
    assert pipe({"text": TEXTS[0].split()}, is_split_into_words=True) == pipe(TEXTS[0])


@pytest.mark.parametrize("nothing", [[], (), iter(()), rows([])])
@pytest.mark.parametrize("split", [False, True])
def test_no_texts_give_no_results(pipe: GlobalPointerNerPipeline, nothing: Any, split: bool) -> None:
    assert list(pipe(nothing, is_split_into_words=split, batch_size=2)) == []


@pytest.mark.parametrize("text", ["", " ", "\t\n\u3000\u2028"])
def test_blanks_alone_hold_no_entities(pipe: GlobalPointerNerPipeline, text: str) -> None:
    assert pipe(text) == []
    assert pipe(text, word_aligned=True, overlap="flat", top_k=1) == []
    assert pipe([text, "ada", text], batch_size=2)[::2] == [[], []]


@pytest.mark.parametrize("batch_size", [1, 2])
def test_a_tokenizer_without_special_tokens_takes_empty_texts(batch_size: int) -> None:
    letters = {token: index for index, token in enumerate(["[PAD]", "[UNK]", *"abc"])}
    tokenizer = Tokenizer(models.WordLevel(letters, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    fast.model_max_length = 40
    pipe = GlobalPointerNerPipeline(model=make_model("full"), tokenizer=fast, task="x")
    assert pipe(["", " ", "", ""], batch_size=batch_size) == [[]] * 4
    found = pipe(["", "a b", " "], batch_size=batch_size)
    assert (found[0], found[2]) == ([], [])
    assert found[1]


def counted(texts: list[Any], pulled: list[Any]) -> Iterator[Any]:
    for text in texts:
        pulled.append(text)
        yield text


def test_a_generator_is_read_one_text_a_result(pipe: GlobalPointerNerPipeline) -> None:
    pulled: list[str] = []
    results = pipe(counted(TEXTS, pulled))
    assert pulled == []
    for number, expected in enumerate(pipe(TEXTS), start=1):
        assert next(results) == expected
        assert pulled == TEXTS[:number]
    assert list(results) == []


def test_with_batches_no_more_than_64_are_read_ahead(pipe: GlobalPointerNerPipeline) -> None:
    pulled: list[str] = []
    results = pipe(counted(["ada"] * 300, pulled), batch_size=2)
    next(results)
    assert len(pulled) == 128
    assert len(list(results)) == 299


def test_a_generator_without_end_can_be_read(pipe: GlobalPointerNerPipeline) -> None:
    results = pipe(iter(lambda: "ada", None), batch_size=3)
    first = [next(results) for _ in range(200)]
    assert all(entities == first[0] for entities in first)


@pytest.mark.parametrize("wrong", [3, None, b"ada", ["ada"], {"title": "ada"}])
@pytest.mark.parametrize("batch_size", [1, 2, 8])
def test_a_wrong_item_of_a_generator_is_named_when_its_turn_comes(
    pipe: GlobalPointerNerPipeline, wrong: object, batch_size: int
) -> None:
    results = pipe(iter(["ada", "x", "bob", wrong, "lou"]), batch_size=batch_size)
    assert [len(next(results)) for _ in range(3)] == [len(pipe(text)) for text in ("ada", "x", "bob")]
    with pytest.raises(TypeError, match=rf"takes text \(`str`\).*got {type(wrong).__name__}"):
        next(results)


@pytest.mark.parametrize("wrong", ["ada", 3, None, ["ada", 3], [["ada"]]])
def test_a_wrong_list_of_words_is_named(pipe: GlobalPointerNerPipeline, wrong: object) -> None:
    for inputs in ([["ada"], wrong], iter([wrong])):
        with pytest.raises(TypeError, match="must be a list of words"):
            list(pipe(inputs, is_split_into_words=True))


@pytest.mark.parametrize("wrong", ["ada met", 3])
def test_one_text_is_no_list_of_words(pipe: GlobalPointerNerPipeline, wrong: object) -> None:
    with pytest.raises(TypeError):
        pipe(wrong, is_split_into_words=True)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"treshold": 1}, TypeError, "no option treshold; there are threshold, overlap, top_k,"),
        ({"overlap": "x"}, ValueError, "`overlap` must be one of"),
        ({"on_long": "cut"}, ValueError, "`on_long` must be"),
        ({"top_k": -1}, ValueError, "`top_k` must be a whole number, 0 or more, got -1"),
        ({"top_k": 1.5}, ValueError, r"`top_k` must be a whole number, 0 or more, got 1\.5"),
        ({"max_spans": 0}, ValueError, "`max_spans` must be a whole number of at least 1, got 0"),
        ({"max_spans": "3"}, ValueError, "`max_spans` must be a whole number of at least 1, got '3'"),
        ({"batch_size": -1}, ValueError, "`batch_size` must be a whole number of at least 1, got -1"),
        ({"batch_size": 2.5}, ValueError, r"`batch_size` must be a whole number of at least 1, got 2\.5"),
        ({"stride": 1.5}, ValueError, r"`stride` must be a whole number of at least 0, got 1\.5"),
        ({"stride": True}, ValueError, "`stride` must be a whole number of at least 0, got True"),
        ({"top_k": True}, ValueError, "`top_k` must be a whole number, 0 or more, got True"),
        ({"overlap": ["flat"]}, ValueError, "`overlap` must be one of"),
        ({"word_aligned": "no"}, ValueError, "`word_aligned` must be True or False, got 'no'"),
        ({"delimiter": 3}, ValueError, "`delimiter` must be a string, got 3"),
        ({"threshold": 0}, ValueError, r"a probability in \(0, 1\), got 0"),
        ({"threshold": [0.5]}, ValueError, r"a probability in \(0, 1\), got \[0\.5\]"),
        ({"threshold": 1}, ValueError, r"a probability in \(0, 1\), got 1"),
        ({"threshold": float("nan")}, ValueError, r"a probability in \(0, 1\), got nan"),
        ({"threshold": {"place": 1.5}}, ValueError, "got 1.5 for 'place'"),
        ({"threshold": {"planet": 0.5}}, ValueError, "'planet', which is none of"),
    ],
)
@pytest.mark.parametrize("inputs", ["ada", [], iter(())])
def test_wrong_options_are_errors_at_the_call(
    pipe: GlobalPointerNerPipeline, inputs: Any, options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        pipe(inputs, **options)


@pytest.mark.parametrize("options", [{"overlap": ""}, {"batch_size": 0}, {"stride": -1}, {"stride": 38}])
@pytest.mark.parametrize("inputs", [[], iter(["ada"])])
def test_these_wrong_options_are_errors_at_the_call_too(
    pipe: GlobalPointerNerPipeline, inputs: Any, options: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match=f"`{next(iter(options))}` must be"):
        pipe(inputs, **options)


def test_wrong_options_are_errors_when_the_pipeline_is_made(char_tokenizer: PreTrainedTokenizerFast) -> None:
    for options in ({"overlap": "x"}, {"threshold": {"planet": 0.5}}, {"top_k": -1}, {"max_spans": 0}):
        with pytest.raises(ValueError, match=r"must|none of"):
            GlobalPointerNerPipeline(model=make_model("full"), tokenizer=char_tokenizer, task="x", **options)


def test_options_of_the_pipeline_hold_for_each_call_that_gives_none(char_tokenizer: PreTrainedTokenizerFast) -> None:
    model = make_model("full")
    plain = GlobalPointerNerPipeline(model=model, tokenizer=char_tokenizer, task="x")
    options = {"threshold": 0.8, "overlap": "flat", "top_k": 2, "word_aligned": True, "is_split_into_words": True}
    preset = GlobalPointerNerPipeline(model=model, tokenizer=char_tokenizer, task="x", **options)
    words = TEXTS[3].split()
    assert preset(words) == plain(words, **options)
    assert preset(words, top_k=1, threshold=None) == plain(words, **{**options, "top_k": 1})
    other = {**options, "is_split_into_words": False, "word_aligned": False, "overlap": "all", "threshold": 0.5}
    assert preset(TEXTS[3], **other) == plain(TEXTS[3], **other)


def test_the_batch_size_of_the_pipeline_is_the_default(
    pipe: GlobalPointerNerPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    preset = GlobalPointerNerPipeline(model=pipe.model, tokenizer=pipe.tokenizer, task="x", batch_size=4)
    sizes: list[int] = []
    monkeypatch.setattr(
        preset, "forward", lambda inputs, **_: sizes.append(len(inputs["input_ids"])) or forward(inputs)
    )
    forward = pipe.forward
    preset(["ada"] * 6)
    preset(["ada"] * 3, batch_size=2)
    assert sizes == [4, 2, 2, 1]


def test_the_thresholds_of_the_model_hold_for_labels_that_the_call_does_not_name(
    pipe: GlobalPointerNerPipeline,
) -> None:
    everything = pipe(TEXTS[3], threshold=0.3)
    pipe.model.config.thresholds = {"place": 0.9, "date": 0.6}

    def over(**by_label: float) -> list[tuple[str, int, int]]:
        return [key for key, score in as_dict(everything).items() if score > by_label[key[0]]]

    assert list(as_dict(pipe(TEXTS[3]))) == over(place=0.9, date=0.6, person=0.5)
    assert list(as_dict(pipe(TEXTS[3], threshold={"date": 0.3}))) == over(place=0.9, date=0.3, person=0.5)
    assert list(as_dict(pipe(TEXTS[3], threshold=0.4))) == over(place=0.4, date=0.4, person=0.4)


def test_max_spans_keeps_the_best_of_a_window(pipe: GlobalPointerNerPipeline) -> None:
    best = sorted(pipe(TEXTS[3]), key=lambda entity: -entity["score"])[:5]
    assert as_dict(pipe(TEXTS[3], max_spans=5)) == as_dict(best)
    pipe.model.config.max_spans = 5
    assert as_dict(pipe(TEXTS[3])) == as_dict(best)


def test_code_is_saved_with_the_model_alone(
    pipe: GlobalPointerNerPipeline, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: dict[str, Any] = {}
    for part in ("model", "tokenizer"):
        monkeypatch.setattr(
            getattr(pipe, part),
            "save_pretrained",
            lambda folder, _part=part, **options: given.update({_part: options}),
        )
    pipe.save_pretrained(tmp_path, with_code=True, push_to_hub=True)
    assert given == {"model": {"with_code": True, "push_to_hub": True}, "tokenizer": {"push_to_hub": True}}
    pipe.save_pretrained(tmp_path, max_shard_size="1GB")
    assert given == {part: {"max_shard_size": "1GB"} for part in ("model", "tokenizer")}


def test_numbers_of_numpy_are_numbers(pipe: GlobalPointerNerPipeline) -> None:
    assert pipe(TEXTS[3], top_k=np.int64(3), stride=np.int32(2)) == pipe(TEXTS[3], top_k=3, stride=2)


def test_a_long_text_can_be_refused(pipe: GlobalPointerNerPipeline) -> None:
    fits = "abcdefghij" * 3 + "abcdefgh"
    message = r"Text 1 \(the first is 0\), of 39 characters, has more tokens than one window.*'abcdefghijabc"
    assert pipe([fits, ""], on_long="error") == pipe([fits, ""])
    with pytest.raises(ValueError, match=message):
        pipe(["ada", fits + "i"], on_long="error", batch_size=2)
    # Of a stream, what comes before it is not lost.
    results = pipe(iter(["ada", fits + "i", "bob"]), on_long="error", batch_size=4)
    assert next(results) == pipe("ada")
    with pytest.raises(ValueError, match=message):
        next(results)


def test_long_texts_of_a_stream_come_out_before_many_are_read(pipe: GlobalPointerNerPipeline) -> None:
    read: list[str] = []
    texts = (read.append(text) or text for text in ["abcd " * 200] * 60)
    results = pipe(texts, batch_size=2, top_k=1, threshold=0.99)
    next(results)
    # As many characters as 128 texts of 256 have.
    assert len(read) == 33
    assert sum(1 for _ in results) == 59


@pytest.mark.parametrize("batch_size", [1, 3])
def test_words_are_found_in_the_text_they_join_to(pipe: GlobalPointerNerPipeline, batch_size: int) -> None:
    lists = [
        ["ada", "met", "bob."],
        [],
        ["x"],
        ["", "ada", "", ""],
        ["new york", "is big"],
        [" ", "\t"],
        [""],
        ["a"] * 60,
    ]
    for delimiter in (" ", "", " - "):
        options = {"is_split_into_words": True, "delimiter": delimiter, "batch_size": batch_size}
        joined = [delimiter.join(words) for words in lists]
        found = pipe(lists, **options)
        assert found == pipe(joined, batch_size=batch_size)
        assert list(pipe(iter(lists), **options)) == found
        assert pipe(tuple(map(tuple, lists)), **options) == found
        assert all(
            entity["word"] == text[entity["start"] : entity["end"]]
            for text, entities in zip(joined, found, strict=True)
            for entity in entities
        )
    assert (
        pipe(lists[0], is_split_into_words=True) == pipe(tuple(lists[0]), is_split_into_words=True) == pipe(TEXTS[0])
    )
    assert list(pipe(rows(lists), is_split_into_words=True)) == pipe(lists, is_split_into_words=True)


EVERY = {"threshold": 0.001, "max_spans": 5_000}


def words_found(entities: list[dict[str, Any]]) -> set[str]:
    return {entity["word"] for entity in entities}


def test_word_aligned_entities_begin_and_end_with_words(pipe: GlobalPointerNerPipeline) -> None:
    assert words_found(pipe("ada met bob", **EVERY)) > {"da", "a met b", "m"}
    expected = {"ada", "met", "bob", "ada met", "met bob", "ada met bob"}
    assert words_found(pipe("ada met bob", word_aligned=True, **EVERY)) == expected


def test_the_model_says_whether_entities_are_word_aligned(pipe: GlobalPointerNerPipeline) -> None:
    pipe.model.config.word_aligned = True
    assert words_found(pipe("ada met", **EVERY)) == {"ada", "met", "ada met"}
    assert "da" in words_found(pipe("ada met", word_aligned=False, **EVERY))


def test_capitals_are_marked_where_the_model_says_so(pipe: GlobalPointerNerPipeline) -> None:
    text = "ada Met boB"
    assert as_dict(pipe(text)) == pytest.approx(as_dict(pipe(text.lower())))
    pipe.model.config.mark_capitals = True
    inputs = pipe.tokenizer(text, return_tensors="pt")
    # [CLS] a d a M e t b o B [SEP]
    inputs["token_type_ids"] = torch.tensor([[0, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0]])
    with torch.no_grad():
        expected = pipe.model(**inputs).logits[0, :, 1:-1, 1:-1]
    found = pipe(text, threshold=1e-6, overlap="all")
    start, end = torch.triu_indices(9, 9)
    scores = expected[:, start, end].sigmoid().flatten()
    assert sorted(e["score"] for e in found) == pytest.approx(sorted(scores.tolist()))
    assert as_dict(pipe(text)) != pytest.approx(as_dict(pipe(text.lower())))


def test_word_aligned_goes_by_the_given_words(pipe: GlobalPointerNerPipeline) -> None:
    options = {"is_split_into_words": True, "word_aligned": True, **EVERY}
    assert words_found(pipe(["new york", "is", "", "big"], **options)) == {
        *("new york", "is", "big", "new york is", "is  big", "new york is  big")
    }
    assert words_found(pipe(["ab", "", "c", "d.e"], delimiter="", **options)) == {
        *("ab", "c", "d.e", "abc", "cd.e", "abcd.e")
    }
    assert pipe([["", ""], []], **options) == [[], []]


def test_blanks_at_the_edges_of_a_given_word_do_not_hide_it(pipe: GlobalPointerNerPipeline) -> None:
    options = {"is_split_into_words": True, "word_aligned": True, **EVERY}
    assert words_found(pipe([" ada ", "met"], **options)) == {"ada", "met", "ada  met"}


def test_the_delimiter_is_no_part_of_a_word(pipe: GlobalPointerNerPipeline) -> None:
    options = {"is_split_into_words": True, "word_aligned": True, "delimiter": ".", **EVERY}
    assert words_found(pipe(["ada", "met"], **options)) == {"ada", "met", "ada.met"}


def test_the_padding_side_does_not_matter(pipe: GlobalPointerNerPipeline) -> None:
    expected = [as_dict(entities) for entities in pipe(TEXTS)]
    pipe.tokenizer.padding_side = "left"
    found = [as_dict(entities) for entities in pipe(TEXTS, batch_size=len(TEXTS))]
    assert found == [pytest.approx(entities, abs=1e-5) for entities in expected]


def test_no_token_for_padding_is_needed(pipe: GlobalPointerNerPipeline) -> None:
    expected = [as_dict(entities) for entities in pipe(TEXTS)]
    pipe.tokenizer.pad_token = None
    found = [as_dict(entities) for entities in pipe(TEXTS, batch_size=len(TEXTS))]
    assert found == [pytest.approx(entities, abs=1e-5) for entities in expected]


@pytest.mark.parametrize("stride", [0, 15])
def test_a_document_of_20_000_characters(pipe: GlobalPointerNerPipeline, stride: int) -> None:
    chance = np.random.default_rng(0)
    text = "".join(chance.choice(list("abcdefghijklmnopqrstuvwxyz    "), 20_000)).strip()
    threshold = 0.99
    expected = windows_by_hand(pipe, text, stride, threshold)
    (entities,) = pipe([text], stride=stride, batch_size=8, threshold=threshold)
    found = as_dict(entities)
    assert len(found) == len(entities) > 1_000
    # A score this near to the threshold may come out on either side of it.
    for key in found.keys() ^ expected.keys():
        assert {**expected, **found}[key] == pytest.approx(threshold, abs=1e-5)
    assert {key: found[key] for key in found.keys() & expected.keys()} == pytest.approx(
        {key: expected[key] for key in found.keys() & expected.keys()}, abs=1e-5
    )
    assert all(entity["word"] == text[entity["start"] : entity["end"]] for entity in entities)
    flat = pipe(text, stride=stride, batch_size=8, threshold=threshold, overlap="flat")
    assert all(a["end"] <= b["start"] for a, b in pairwise(flat))
    assert flat[-1]["end"] > len(text) - 50


def test_entities_go_together_as_the_model_says(pipe: GlobalPointerNerPipeline) -> None:
    everything = pipe(LONG, threshold=0.3)
    for overlap in ("flat", "nested"):
        pipe.model.config.overlap = overlap
        assert pipe(LONG, threshold=0.3) != everything
        assert pipe(LONG, threshold=0.3, overlap="all") == everything
        assert pipe(LONG, threshold=0.3) == pipe(LONG, threshold=0.3, overlap=overlap)


def test_windows_are_as_long_as_the_model_says(pipe: GlobalPointerNerPipeline) -> None:
    expected = pipe(LONG, max_length=20)
    assert expected != pipe(LONG)
    pipe.model.config.max_length = 20
    assert pipe(LONG) == expected
    with pytest.raises(ValueError, match="`max_length` must be at most 40"):
        pipe(LONG, max_length=41)
    with pytest.raises(ValueError, match="Windows of 2 tokens leave none beside the special ones"):
        pipe(LONG, max_length=2)


def test_no_entity_is_longer_than_the_model_says(pipe: GlobalPointerNerPipeline) -> None:
    text = "abcdefghijklmnop"
    expected = [entity for entity in pipe(text) if entity["end"] - entity["start"] <= 3]
    pipe.model.config.max_span_length = 3
    found = pipe(text)
    assert as_dict(found) == pytest.approx(as_dict(expected), abs=1e-5)
    assert {entity["end"] - entity["start"] for entity in found} >= {3}
