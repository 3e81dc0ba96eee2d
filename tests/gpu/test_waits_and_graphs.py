"""What only a GPU has: a host that may wait for it, graphs of its work, and kernels. Run by `make test-gpu`."""

import copy

import pytest
import torch

from conftest import MODELS, make_model
from hf_globalpointer import use_triton_kernels
from hf_globalpointer.modeling.loss_global_pointer import LOSSES
from hf_globalpointer.modeling.span_labels import spans_from_labels
from modeling.dense import assert_equals_dense, make_scores


pytestmark = pytest.mark.usefixtures("kernels")
BATCH = {
    "input_ids": torch.arange(4, 28).view(2, 12),
    "attention_mask": torch.ones(2, 12, dtype=torch.long),
    "labels": torch.tensor([[[0, 1, 2], [2, 3, 3]], [[1, 0, 5], [-100, -100, -100]]]),
}


@pytest.fixture(scope="module")
def kernels() -> None:
    """The kernels in Triton, of which the operators' own code takes the place nowhere here."""
    assert torch.cuda.is_available(), "these tests are for a GPU"
    use_triton_kernels()


@pytest.mark.parametrize("dtype", [None, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("kind", MODELS)
def test_the_host_waits_nowhere_in_a_training_step(kind: str, dtype: torch.dtype | None) -> None:
    model = make_model(kind).cuda().train()
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    inputs = {name: value.cuda() for name, value in BATCH.items()}

    def step() -> None:
        with torch.autocast("cuda", dtype, enabled=dtype is not None):
            loss = model(**inputs).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    step()  # compiles the kernels
    torch.cuda.synchronize()
    torch.cuda.set_sync_debug_mode("error")
    try:
        step()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("kind", MODELS)
def test_a_graph_of_head_and_loss_gives_the_same(kind: str) -> None:
    head = make_model(kind, head_dropout=0.0).classifier.cuda()
    hidden = torch.randn(2, 12, 16, device="cuda", requires_grad=True)
    labels, mask = BATCH["labels"].cuda(), BATCH["attention_mask"].cuda()

    def loss_of(head: torch.nn.Module) -> torch.Tensor:
        scores = head(hidden, mask)
        return LOSSES["class_imbalance"](scores, spans_from_labels(labels, scores.num_labels, scores.mask))

    expected = torch.autograd.grad(loss_of(copy.deepcopy(head)), hidden)[0]
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            torch.autograd.grad(loss_of(head), hidden)
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        gradient = torch.autograd.grad(loss_of(head), hidden)[0]
    graph.replay()
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize(("kind", "shared"), [("class_imbalance", False), ("class_imbalance", True), ("bce", False)])
@pytest.mark.parametrize("max_span_length", [None, 5, 70])
@pytest.mark.parametrize("n", [1, 64, 65, 300])
def test_the_kernels_are_right(kind: str, shared: bool, max_span_length: int | None, n: int) -> None:
    scores = make_scores(2, 3, n, shared, seed=n, spread=3.0, max_span_length=max_span_length)
    assert_equals_dense(scores, 0.02, 0.0, kind, seed=1, device="cuda")


@pytest.mark.parametrize("kind", MODELS)
def test_a_compiled_step_runs_from_graphs(kind: str) -> None:
    torch._dynamo.reset()
    model = make_model(kind, head_dropout=0.0, hidden_dropout_prob=0.0).cuda().train()
    inputs = {name: value.cuda() for name, value in BATCH.items()}
    expected = model(**inputs).loss
    compiled = torch.compile(model, mode="reduce-overhead")
    for _ in range(3):
        torch.compiler.cudagraph_mark_step_begin()
        loss = compiled(**inputs).loss.clone()
    torch.testing.assert_close(loss, expected, rtol=1e-4, atol=1e-5)
