from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForTokenClassification, EvalPrediction, set_seed

from conftest import LABELS, MODELS, TINY, make_model
from hf_globalpointer import ComputeSpanMetrics, SpanScores
from hf_globalpointer.modeling import span_search


INPUT = {
    "input_ids": torch.tensor([[2, 10, 11, 12, 13, 3], [2, 14, 15, 3, 0, 0]]),
    "attention_mask": torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]]),
    "span_token_mask": torch.tensor([[0, 1, 1, 1, 1, 0], [0, 1, 1, 0, 0, 0]]),
}
GOLD = torch.tensor([[[0, 1, 2], [2, 4, 4]], [[1, 1, 2], [-100, -100, -100]]])


def test_outputs_hold_what_was_asked_for_and_no_more(tiny_model: torch.nn.Module) -> None:
    assert set(tiny_model(**INPUT)) == {"logits"}
    assert set(tiny_model(**INPUT, labels=GOLD)) == {"loss", "spans"}
    assert set(tiny_model(**INPUT, labels=GOLD, output_logits=True)) == {"loss", "spans", "logits"}
    assert set(tiny_model(**INPUT, output_hidden_states=True)) == {"logits", "hidden_states"}
    assert isinstance(tiny_model(**INPUT, labels=GOLD, return_dict=False), tuple)
    assert set(tiny_model.train()(**INPUT, labels=GOLD)) == {"loss"}


def test_neither_training_nor_evaluation_builds_the_score_tensor(
    tiny_model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dense(scores: SpanScores, fill: float) -> torch.Tensor:
        raise AssertionError("dense scores were asked for")

    monkeypatch.setattr(SpanScores, "dense", dense)
    for span_loss in ("class_imbalance", "bce"):
        tiny_model.config.span_loss = span_loss
        tiny_model.train()(**INPUT, labels=GOLD).loss.backward()
        tiny_model.eval()(**INPUT, labels=GOLD)
    tiny_model.decode(tiny_model.span_scores(**INPUT))
    with pytest.raises(AssertionError, match="dense scores"):
        tiny_model(**INPUT)


def test_logits_and_spans_agree(tiny_model: torch.nn.Module) -> None:
    output = tiny_model(**INPUT, labels=GOLD, output_logits=True)
    assert output.logits.shape == (2, len(LABELS), 6, 6)
    cells = [tuple(cell) for cell in (output.logits > 0).nonzero().tolist()]
    rows = [(b, *row) for b, sample in enumerate(output.spans.tolist()) for row in sample if row[0] >= 0]
    assert cells
    assert sorted(rows) == sorted(cells)


def test_padding_changes_neither_loss_nor_scores(tiny_model: torch.nn.Module) -> None:
    padded = {name: torch.nn.functional.pad(value, (0, 5)) for name, value in INPUT.items()}
    padded["input_ids"][:, 6:] = 99
    short, long = (tiny_model(**inputs, labels=GOLD, output_logits=True) for inputs in (INPUT, padded))
    torch.testing.assert_close(long.loss, short.loss)
    torch.testing.assert_close(long.logits[..., :6, :6], short.logits)
    assert long.logits[..., 6:].eq(torch.finfo(torch.float32).min).all()


def test_left_padding_gives_the_same_scores(tiny_model: torch.nn.Module) -> None:
    left = {name: torch.nn.functional.pad(value, (3, 0)) for name, value in INPUT.items()}
    left["position_ids"] = torch.arange(9).sub(3).clamp(min=0).expand(2, -1)
    torch.testing.assert_close(tiny_model(**left).logits[..., 3:, 3:], tiny_model(**INPUT).logits)


def test_a_sample_scores_the_same_alone(tiny_model: torch.nn.Module) -> None:
    together = tiny_model(**INPUT).logits
    for index in range(2):
        alone = tiny_model(**{name: value[index : index + 1] for name, value in INPUT.items()}).logits
        torch.testing.assert_close(alone[0], together[index])


def test_an_untrained_model_decodes_the_same_every_time(tiny_model: torch.nn.Module) -> None:
    first = tiny_model(**INPUT, labels=GOLD).spans
    assert first.shape[1] > 3
    for _ in range(5):
        assert torch.equal(tiny_model(**INPUT, labels=GOLD).spans, first)


@pytest.mark.parametrize("auto_class", [AutoModel, AutoModelForTokenClassification])
def test_a_saved_model_gives_the_same_logits(tiny_model: torch.nn.Module, auto_class: type, tmp_path: Path) -> None:
    tiny_model.save_pretrained(tmp_path)
    again = auto_class.from_pretrained(tmp_path)
    assert type(again) is type(tiny_model)
    torch.testing.assert_close(again(**INPUT).logits, tiny_model(**INPUT).logits, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_without_entity_types_says_how_to_give_them(kind: str) -> None:
    config_class, model_class = MODELS[kind]
    with pytest.raises(ValueError, match=r'labels=\["person", "place"\]'):
        model_class(config_class(**TINY))


@pytest.mark.parametrize("kind", MODELS)
def test_the_load_report_of_a_plain_encoder_names_the_head_alone(kind: str, minilm: str) -> None:
    model_class = MODELS[kind][1]
    model, info = model_class.from_pretrained(minilm, labels=LABELS, output_loading_info=True)
    assert all(name.startswith("classifier.") for name in info["missing_keys"])
    assert info["missing_keys"]
    assert not {*info["unexpected_keys"], *info["mismatched_keys"]}
    assert model.config.id2label == dict(enumerate(LABELS))


def test_labels_may_be_of_any_integer_type(tiny_model: torch.nn.Module) -> None:
    labels = torch.tensor([[[0, 1, 2]], [[1, 1, 2]]])
    losses = [tiny_model(**INPUT, labels=labels.to(dtype)).loss for dtype in (torch.int64, torch.int32, torch.uint8)]
    assert losses[0] == losses[1] == losses[2]


def test_wrong_labels_are_an_error_of_the_model(tiny_model: torch.nn.Module) -> None:
    with pytest.raises(ValueError, match=r"labels\[0, 0\]"):
        tiny_model(**INPUT, labels=torch.tensor([[[0, 3, 2]], [[0, 1, 1]]]))
    with pytest.raises(ValueError, match="type is not in"):
        tiny_model(**INPUT, labels=torch.tensor([[[7, 1, 2]], [[0, 1, 1]]]))


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_a_model_in_low_precision_scores_and_loses_in_float32(kind: str, dtype: torch.dtype) -> None:
    exact = make_model(kind)(**INPUT, labels=GOLD, output_logits=True)
    model = make_model(kind).to(dtype)
    output = model(**INPUT, labels=GOLD, output_logits=True)
    assert output.loss.dtype == output.logits.dtype == torch.float32
    torch.testing.assert_close(output.loss, exact.loss, rtol=0.02, atol=0.02)
    output.loss.backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)


def test_thresholds_of_the_configuration_and_the_call(tiny_model: torch.nn.Module) -> None:
    scores = tiny_model.span_scores(**INPUT)
    dense = scores.dense()

    def kept(spans: torch.Tensor) -> set[tuple[int, ...]]:
        return {(b, *row) for b, sample in enumerate(spans.tolist()) for row in sample if row[0] >= 0}

    def over(*limits: float) -> set[tuple[int, ...]]:
        limit = torch.tensor(limits).logit()[:, None, None] + tiny_model.config.score_threshold
        return {tuple(cell) for cell in (dense > limit).nonzero().tolist()}

    assert len({frozenset(over(p, p, p)) for p in (0.2, 0.4, 0.5, 0.7)}) == 4
    assert kept(tiny_model.decode(scores).spans) == over(0.5, 0.5, 0.5)
    assert kept(tiny_model.decode(scores, 0.7).spans) == over(0.7, 0.7, 0.7)
    tiny_model.config.thresholds = {"place": 0.4}
    assert kept(tiny_model.decode(scores).spans) == over(0.5, 0.5, 0.4)
    assert kept(tiny_model.decode(scores, {"date": 0.2}).spans) == over(0.2, 0.5, 0.4)
    assert kept(tiny_model.decode(scores, {"place": 0.7}).spans) == over(0.5, 0.5, 0.7)
    tiny_model.config.score_threshold = 0.8
    assert kept(tiny_model.decode(scores).spans) == over(0.5, 0.5, 0.4)
    assert kept(tiny_model.decode(scores, np.float32(0.5)).spans) == over(0.5, 0.5, 0.5)
    tiny_model.config.thresholds = {"place": 2.0}
    with pytest.raises(ValueError, match=r"got 2\.0 for 'place'"):
        tiny_model.decode(scores)
    tiny_model.config.thresholds = None
    for wrong in (0.0, 1.0, {"date": 2.0}, {"nothing": 0.5}):
        with pytest.raises(ValueError, match=r"[Tt]hreshold"):
            tiny_model.decode(scores, wrong)


def test_max_spans_caps_and_says_so(tiny_model: torch.nn.Module, monkeypatch: pytest.MonkeyPatch) -> None:
    said: list[str] = []
    monkeypatch.setattr(span_search.logger, "warning_once", said.append)
    full = tiny_model(**INPUT, labels=GOLD).spans
    assert full.shape[1] > 2
    assert not said
    tiny_model.config.max_spans = 2
    assert tiny_model(**INPUT, labels=GOLD).spans.shape[1] == 2
    assert "max_spans" in said[0]


@pytest.mark.parametrize("kind", MODELS)
def test_training_learns_to_find_what_it_was_shown(kind: str) -> None:
    set_seed(0)
    model = make_model(kind, head_dropout=0.0, hidden_dropout_prob=0.0).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    losses = []
    for _ in range(60):
        loss = model(**INPUT, labels=GOLD).loss
        losses.append(loss.item())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    assert losses[-1] < 0.05 < losses[0]
    spans = model.eval()(**INPUT, labels=GOLD).spans
    metrics = ComputeSpanMetrics(model.config.id2label)(EvalPrediction(spans.numpy(), GOLD.numpy()))
    assert metrics["f1"] == 1.0


@pytest.mark.parametrize("kind", MODELS)
def test_a_span_longer_than_the_longest_is_none(kind: str) -> None:
    model = make_model(kind, max_span_length=3)
    ids = torch.arange(2, 12)[None]
    logits = model(ids).logits[0]
    i, j = torch.meshgrid(torch.arange(10), torch.arange(10), indexing="ij")
    seen = logits > torch.finfo(torch.float32).min
    assert torch.equal(seen, ((j >= i) & (j - i < 3)).expand_as(logits))
    wide = make_model(kind)(ids).logits[0]
    torch.testing.assert_close(logits[seen], wide[seen])
    model(ids, labels=torch.tensor([[[0, 1, 3]]]))
    with pytest.raises(
        ValueError, match=r"labels\[0, 0\]. = \[0, 1, 4\].*more tokens than `config.max_span_length`, 3"
    ):
        model(ids, labels=torch.tensor([[[0, 1, 4]]]))


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("overlap", ["all", "nested", "flat"])
def test_evaluation_predicts_by_the_rule_of_the_data(kind: str, overlap: str) -> None:
    model = make_model(kind, overlap=overlap, score_threshold=-1.0)
    ids = torch.arange(2, 22)[None]
    spans = model(ids, labels=torch.full((1, 1, 3), -100)).spans[0].tolist()
    pairs = [(a, b) for a in spans for b in spans if a is not b and a[1] <= b[1] <= a[2]]
    crossing = [(a, b) for a, b in pairs if a[1] < b[1] and a[2] < b[2]]
    assert bool(pairs) == (overlap != "flat")
    assert bool(crossing) == (overlap == "all")
    assert len(spans) > 1
