import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from conftest import TINY
from hf_globalpointer import (
    BertEfficientGlobalPointerConfig,
    BertGlobalPointerConfig,
    EfficientGlobalPointerHead,
    GlobalPointerHead,
)
from hf_globalpointer.modeling.span_heads import rotary_factors, rotate
from modeling import reference
from modeling.reference import reference_scores


HEADS = ["full", "query_key", "hidden"]


def make_head(kind: str, types: int, **config: object) -> torch.nn.Module:
    labels = [f"type{index}" for index in range(types)]
    if kind == "full":
        return GlobalPointerHead(BertGlobalPointerConfig(**{**TINY, "labels": labels, **config})).eval()
    config = {**TINY, "labels": labels, "span_representation": kind, **config}
    return EfficientGlobalPointerHead(BertEfficientGlobalPointerConfig(**config)).eval()


@pytest.mark.parametrize("kind", HEADS)
@settings(max_examples=15)
@given(st.integers(1, 3), st.integers(1, 9), st.integers(1, 4), st.sampled_from([2, 6]), st.integers(0, 2**31))
def test_scores_are_those_of_the_equations(
    kind: str, batch: int, n: int, types: int, head_size: int, seed: int
) -> None:
    torch.manual_seed(seed)
    head = make_head(kind, types, head_size=head_size)
    hidden = 3 * torch.randn(batch, n, TINY["hidden_size"])
    attention_mask, span_token_mask = torch.rand(2, batch, n).gt(0.2).long()
    scores = head(hidden, attention_mask, span_token_mask)
    expected = reference_scores(head, hidden, attention_mask & span_token_mask)
    np.testing.assert_allclose(scores.dense().detach().numpy(), expected, rtol=1e-5, atol=1e-5)
    spans = torch.tensor([[[types - 1, 0, n - 1], [0, n // 2, n // 2], [-100, -100, -100]]] * batch)
    unmasked = reference_scores(head, hidden, torch.ones(batch, n))
    listed = scores.at(spans).detach().numpy()
    np.testing.assert_allclose(listed[:, 0], unmasked[:, types - 1, 0, n - 1], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(listed[:, 1], unmasked[:, 0, n // 2, n // 2], rtol=1e-5, atol=1e-5)
    assert (listed[:, 2] == -np.inf).all()


@pytest.mark.parametrize("kind", HEADS)
def test_scores_of_equal_tokens_depend_on_the_distance_alone(kind: str) -> None:
    torch.manual_seed(1)
    head = make_head(kind, 2)
    hidden = 3 * torch.randn(1, 1, TINY["hidden_size"]).expand(1, 600, -1)
    scores = head(hidden).dense()[0].detach()
    for distance in (0, 1, 7, 300):
        along = scores.diagonal(distance, 1, 2)
        assert (along - along[:, :1]).abs().max() < 1e-4
    assert (scores[:, 0, 1:] - scores[:, 0, :-1]).abs().max() > 1e-2


@pytest.mark.parametrize("kind", HEADS)
def test_without_rope_the_distance_does_not_matter(kind: str) -> None:
    torch.manual_seed(1)
    hidden = torch.randn(1, 1, TINY["hidden_size"]).expand(1, 9, -1)
    scores = make_head(kind, 2, use_rope=False)(hidden).dense()[0].detach()
    for type_scores in scores:
        valid = type_scores[type_scores.isfinite()]
        assert (valid - valid[0]).abs().max() < 1e-5


def test_rotation_stays_exact_far_into_a_long_text() -> None:
    torch.manual_seed(2)
    x = torch.randn(8192, 64)
    expected = torch.stack(
        [torch.from_numpy(reference.rotated(x[p].double().numpy(), p, 10000.0)) for p in (0, 1, 4095, 8191)]
    )
    rotated = rotate(x, rotary_factors(8192, 64, 10000.0, x))
    torch.testing.assert_close(rotated[[0, 1, 4095, 8191]].double(), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", HEADS)
def test_a_token_outside_the_mask_changes_nothing(kind: str) -> None:
    torch.manual_seed(3)
    head = make_head(kind, 3)
    hidden, mask = torch.randn(2, 7, TINY["hidden_size"]), torch.ones(2, 7)
    mask[0, 5:] = 0
    changed = hidden.clone()
    changed[0, 5:] = 1000.0
    torch.testing.assert_close(head(hidden, mask).dense(), head(changed, mask).dense(), rtol=0, atol=0)


@pytest.mark.parametrize("kind", HEADS)
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_low_precision_input_is_scored_in_float32(kind: str, dtype: torch.dtype) -> None:
    torch.manual_seed(4)
    head = make_head(kind, 2)
    hidden = torch.randn(2, 6, TINY["hidden_size"]).to(dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        under_autocast = head(hidden).dense()
    assert under_autocast.dtype == torch.float32
    torch.testing.assert_close(under_autocast, head(hidden.float()).dense(), rtol=0, atol=0)
    low = head.to(dtype)
    assert low(hidden).dense().dtype == torch.float32


@pytest.mark.parametrize("kind", HEADS)
def test_dropout_acts_in_training_only(kind: str) -> None:
    head = make_head(kind, 2, head_dropout=0.5)
    hidden = torch.randn(1, 5, TINY["hidden_size"])
    assert torch.equal(head(hidden).dense(), head(hidden).dense())
    head.train()
    assert not torch.equal(head(hidden).dense(), head(hidden).dense())


@pytest.mark.parametrize("name", ["attention_mask", "span_token_mask"])
def test_a_mask_of_the_wrong_shape_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=rf"`{name}` must have shape \(2, 5\)"):
        make_head("full", 2)(torch.randn(2, 5, TINY["hidden_size"]), **{name: torch.ones(2, 4)})
