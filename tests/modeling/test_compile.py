import pytest
import torch
from torch._dynamo.testing import CompileCounter

from conftest import make_model, make_pipeline


def batch(n: int) -> dict[str, torch.Tensor]:
    torch.manual_seed(n)
    return {
        "input_ids": torch.randint(4, 100, (2, n)),
        "attention_mask": torch.ones(2, n, dtype=torch.long),
        "span_token_mask": torch.ones(2, n, dtype=torch.long),
        "labels": torch.tensor([[[0, 1, 2], [2, 3, 3]], [[1, 0, n - 1], [-100, -100, -100]]]),
    }


@pytest.mark.parametrize(
    ("kind", "span_loss"), [("full", "class_imbalance"), ("full", "bce"), ("efficient", "class_imbalance")]
)
def test_training_compiles_whole_with_dynamic_shapes(kind: str, span_loss: str) -> None:
    torch._dynamo.reset()
    model = make_model(
        kind, span_loss=span_loss, num_hidden_layers=1, head_dropout=0.0, hidden_dropout_prob=0.0
    ).train()
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend="aot_eager")
    for n in (6, 9, 13):
        expected = model(**batch(n)).loss
        expected.backward()
        gradient = model.classifier.get_parameter(next(iter(dict(model.classifier.named_parameters())))).grad.clone()
        model.zero_grad()
        loss = compiled(**batch(n)).loss
        loss.backward()
        torch.testing.assert_close(loss, expected)
        again = model.classifier.get_parameter(next(iter(dict(model.classifier.named_parameters())))).grad
        torch.testing.assert_close(again, gradient)
        model.zero_grad()


@pytest.mark.parametrize("kind", ["full", "efficient"])
def test_evaluation_compiles_whole_with_dynamic_shapes(kind: str) -> None:
    torch._dynamo.reset()
    model = make_model(kind, num_hidden_layers=1)
    compiled = torch.compile(model, fullgraph=True, dynamic=True, backend="aot_eager")
    with torch.no_grad():
        for n in (6, 9, 13):
            expected, output = model(**batch(n)), compiled(**batch(n))
            assert expected.spans.shape[1] > 0
            assert torch.equal(output.spans, expected.spans)
            torch.testing.assert_close(output.loss, expected.loss)


def test_the_pipeline_of_a_compiled_model_runs_compiled_graphs_once_for_all_lengths() -> None:
    torch._dynamo.reset()
    expected, pipe = make_pipeline("efficient"), make_pipeline("efficient")
    counter = CompileCounter()
    pipe.model.compile(dynamic=True, backend=counter, fullgraph=True)
    for text in ("ab cd", "abcdefgh", "a b c d e f g h a b"):
        found, wanted = pipe(text), expected(text)
        assert [(e["start"], e["end"], e["entity_group"]) for e in found] == [
            (e["start"], e["end"], e["entity_group"]) for e in wanted
        ]
    # The encoder and the head.
    assert counter.frame_count == 2
