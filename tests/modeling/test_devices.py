"""The same answers on every device: on a GPU where there is one, and on the CPU elsewhere."""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForTokenClassification, Trainer, pipeline

from conftest import MODELS, MakeTrainer, make_model
from hf_globalpointer import SpanScores
from hf_globalpointer.modeling.loss_global_pointer import LOSSES
from hf_globalpointer.modeling.span_labels import spans_from_labels
from modeling.dense import dense_loss, dense_set, double, rows, some_spans


HAS_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if HAS_GPU else "cpu")
# What autocast computes in, and the largest error of scores, loss and gradients. A CPU computes heads in float32.
PRECISIONS = {
    None: 1e-4,
    torch.bfloat16: 2e-2 if HAS_GPU else 1e-4,
    torch.float16: 3e-3 if HAS_GPU else 1e-4,
}
# TensorFloat-32 rounds factors to ten bits in the products that PyTorch lets it, on a GPU.
TF32 = [False, True] if HAS_GPU else [False]
TEXTS = ["Ada was in Rome", "ab", "Ada met Bob in 1 " * 5]


@pytest.fixture
def matmul_precision() -> Iterator[None]:
    """That of before, again after a test has set it."""
    before = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(before)


def batch(n: int = 12) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(n)
    return {
        "input_ids": torch.randint(4, 100, (2, n), generator=generator),
        "attention_mask": (torch.arange(n) < torch.tensor([[n], [n - 3]])).long(),
        "labels": torch.tensor([[[0, 1, 2], [2, 3, 3]], [[1, 0, 5], [-100, -100, -100]]]),
    }


def on_device(inputs: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: value.to(DEVICE) for name, value in inputs.items()}


def to_cpu(scores: SpanScores) -> SpanScores:
    parts = (scores.query, scores.key, scores.start, scores.end, scores.mask)
    moved = (part if part is None else part.detach().cpu() for part in parts)
    return SpanScores(*moved, scores.max_span_length)


def assert_near(result: torch.Tensor, exact: torch.Tensor, tolerance: float) -> None:
    result = result.detach().double().cpu()
    assert (result - exact).norm() <= tolerance * exact.norm() + 1e-7


@pytest.mark.parametrize("tf32", TF32)
@pytest.mark.parametrize("dtype", PRECISIONS, ids=str)
@pytest.mark.parametrize("max_span_length", [None, 5])
@pytest.mark.parametrize("span_loss", LOSSES)
@pytest.mark.parametrize("kind", MODELS)
def test_loss_and_gradients_are_those_of_the_definition(
    kind: str,
    span_loss: str,
    max_span_length: int | None,
    dtype: torch.dtype | None,
    tf32: bool,
    matmul_precision: None,
) -> None:
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    head = make_model(kind).classifier
    exact_head = copy.deepcopy(head).double()
    head = head.to(DEVICE)
    hidden = torch.randn(2, 40, 16, generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(40) < torch.tensor([[40], [31]])).long()
    exact = exact_head(hidden.double(), mask, max_span_length=max_span_length)
    labels, gold = some_spans(exact, 0.03, seed=1)
    with torch.autocast(DEVICE.type, dtype, enabled=dtype is not None):
        scores = head(hidden.to(DEVICE), mask.to(DEVICE), max_span_length=max_span_length)
        positives = spans_from_labels(labels.to(DEVICE), scores.num_labels, scores.mask, max_span_length)
        loss = LOSSES[span_loss](scores, positives)
    loss.backward()
    expected = dense_loss(exact, gold, 0.0, span_loss)
    expected.backward()
    tolerance = 2e-3 if tf32 and dtype is None else PRECISIONS[dtype]
    assert loss.dtype == torch.float32
    assert_near(loss, expected.detach(), tolerance)
    for parameter, reference in zip(head.parameters(), exact_head.parameters(), strict=True):
        assert_near(parameter.grad, reference.grad, tolerance)


@pytest.mark.parametrize("max_span_length", [None, 5])
@pytest.mark.parametrize("kind", MODELS)
def test_spans_that_are_found_are_the_dense_ones(kind: str, max_span_length: int | None) -> None:
    model = make_model(kind, max_span_length=max_span_length).to(DEVICE)
    inputs = on_device(batch())
    inputs.pop("labels")
    scores = model.span_scores(**inputs)
    limits = [0.1, 0.0, -0.1]
    found = scores.above(torch.tensor(limits, device=DEVICE))
    assert found.spans.device.type == DEVICE.type
    exact = double(to_cpu(scores))
    expected = dense_set(exact, limits)
    # A score as near to its limit as rounding may be on either side of it.
    near = (exact.dense() - torch.tensor(limits)[:, None, None]).abs() < 1e-5
    assert not near.any()
    assert rows(found.spans) == expected


@pytest.mark.parametrize("kind", MODELS)
def test_a_model_gives_what_it_gives_on_a_cpu(kind: str, tmp_path: Path) -> None:
    model = make_model(kind)
    expected = model(**batch())
    moved = copy.deepcopy(model).to(DEVICE)
    output = moved(**on_device(batch()))
    assert_near(output.loss, expected.loss.detach().double(), 1e-4)
    assert torch.equal(output.spans.cpu(), expected.spans)
    moved.save_pretrained(tmp_path)
    loaded = AutoModelForTokenClassification.from_pretrained(tmp_path).to(DEVICE)
    assert torch.equal(loaded(**on_device(batch())).loss, output.loss)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_pipeline_gives_what_it_gives_on_a_cpu(checkpoint: Path, dtype: str) -> None:
    recognize = pipeline("global-pointer-ner", model=str(checkpoint), device=DEVICE, dtype=dtype)
    assert recognize.model.device.type == DEVICE.type
    found, expected = (
        [[(e["start"], e["end"], e["entity_group"], e["score"]) for e in entities] for entities in results]
        for results in (
            recognize(TEXTS, batch_size=2),
            pipeline("global-pointer-ner", model=str(checkpoint), device="cpu")(TEXTS, batch_size=2),
        )
    )
    if dtype == "float32":
        assert [[place[:3] for place in entities] for entities in found] == [
            [place[:3] for place in entities] for entities in expected
        ]
    tolerance = 1e-4 if dtype == "float32" else 0.2
    for some, others in zip(found, expected, strict=True):
        scores = {place[:3]: place[3] for place in others}
        assert some
        assert all(abs(scores.get(place[:3], 0.5) - place[3]) < tolerance for place in some)


@pytest.mark.parametrize("precision", [{}, {"bf16": True}, *([{"fp16": True}] if HAS_GPU else [])], ids=str)
@pytest.mark.parametrize("options", [{}, {"activation_checkpointing": True}], ids=str)
def test_the_trainer_trains(make_trainer: MakeTrainer, precision: dict[str, Any], options: dict[str, Any]) -> None:
    steps = {"max_steps": 20, "logging_steps": 10, "learning_rate": 5e-3, "use_cpu": not HAS_GPU}
    trainer = make_trainer(Trainer, **steps, **precision, **options)
    assert trainer.args.device.type == DEVICE.type
    trainer.train()
    first, last = (entry["loss"] for entry in trainer.state.log_history if "loss" in entry)
    assert last < first


@pytest.mark.parametrize("kind", MODELS)
def test_a_compiled_model_gives_the_same(kind: str) -> None:
    torch._dynamo.reset()
    model = make_model(kind).to(DEVICE)
    # What it takes to compile for a CPU says nothing of a device, and takes long.
    compiled = torch.compile(model, backend="inductor" if HAS_GPU else "aot_eager")
    loss, expected = compiled(**on_device(batch())).loss, model(**on_device(batch())).loss
    assert_near(loss, expected.detach().double().cpu(), 1e-4)
