"""The reductions against the dense definition in float64, where blocks, chunks and extremes meet."""

import pytest
import torch
from hypothesis import given, settings, strategies as st

from hf_globalpointer import SpanScores
from hf_globalpointer.modeling import per_type_reductions, shared_reductions, span_blocks
from hf_globalpointer.modeling.loss_global_pointer import binary_cross_entropy_loss, class_imbalance_loss
from hf_globalpointer.modeling.span_labels import spans_from_labels
from modeling.dense import assert_equals_dense, dense_set, make_scores, rows, some_spans


# Rows of a block, and scores worked on at a time: the real ones, and so few that every border is crossed.
# Rows of a block, scores in it, and the fewest rows of a piece.
BLOCKS = st.sampled_from([(64, 2**19, 32), (64, 2**19, 5), (7, 100, 3), (7, 2000, 8), (1, 1, 1)])
# The longest spans: none, one token, within a block of 7, as long as it, across blocks, and longer than any text.
LONGEST = st.sampled_from([None, 1, 2, 5, 7, 8, 20, 100])


@pytest.mark.parametrize("kind", ["class_imbalance", "bce"])
@pytest.mark.parametrize("shared", [True, False])
@settings(max_examples=25)
@given(
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 40),
    st.integers(0, 2**31),
    st.sampled_from([0.5, 5.0, 20.0]),
    st.sampled_from([0.0, 0.02, 0.5, 1.0]),
    st.sampled_from([0.0, 1.5]),
    BLOCKS,
    LONGEST,
)
def test_loss_and_gradients_are_those_of_the_dense_definition(
    kind: str,
    shared: bool,
    batch: int,
    types: int,
    n: int,
    seed: int,
    spread: float,
    share: float,
    threshold: float,
    block: tuple[int, int, int],
    max_span_length: int | None,
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(span_blocks, "BLOCK_ROWS", block[0])
        patch.setattr(span_blocks, "_BLOCK_SCORES", {"cpu": block[1]})
        patch.setattr(span_blocks, "PIECE_ROWS", block[2])
        scores = make_scores(batch, types, n, shared, seed, spread, max_span_length)
        assert_equals_dense(scores, share, threshold, kind, seed)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("n", [64, 65, 150])
@pytest.mark.parametrize("max_span_length", [None, 1, 16, 33, 64, 65, 66, 75])
@pytest.mark.parametrize("kind", ["class_imbalance", "bce"])
def test_sequences_of_several_blocks(shared: bool, n: int, max_span_length: int | None, kind: str) -> None:
    assert_equals_dense(make_scores(2, 3, n, shared, n, 3.0, max_span_length), 0.005, 0.0, kind, n)


@pytest.mark.parametrize("shared", [True, False])
def test_labels_without_a_row_are_no_positives(shared: bool) -> None:
    scores = make_scores(2, 3, 5, shared, 0, 1.0)
    padded, none = torch.full((2, 1, 3), -100), torch.full((2, 0, 3), -100)
    for loss in (class_imbalance_loss, binary_cross_entropy_loss):
        torch.testing.assert_close(loss(scores, none), loss(scores, padded), rtol=0, atol=0)


def test_a_sum_whose_products_underflow_is_exact() -> None:
    """A row owes its best span to a large s and a very negative end, or the reverse: each product underflows."""
    n = 5
    query = torch.zeros(1, 1, n, 2)
    key = torch.zeros(1, 1, n, 2)
    query[..., 0] = 1.0
    key[0, 0, :, 0] = torch.tensor([-300.0, 0.0, -300.0, 200.0, -300.0])
    end = torch.tensor([[[200.0, -150.0, 160.0, -350.0, -400.0], [0.0] * 5]])
    scores = SpanScores(query, key, torch.zeros(1, 2, n), end, torch.ones(1, 2, n, dtype=torch.bool))
    for share in (0.0, 0.4):
        assert_equals_dense(scores, share, 0.0, "class_imbalance", 0)


@pytest.mark.parametrize("shared", [True, False])
@settings(max_examples=25)
@given(
    st.integers(1, 3),
    st.integers(1, 4),
    st.integers(1, 40),
    st.integers(0, 2**31),
    st.sampled_from([1.0, 20.0]),
    st.floats(-30, 30),
    BLOCKS,
    st.sampled_from([None, 1, 5]),
    LONGEST,
)
def test_above_is_the_dense_set_whatever_the_blocks(
    shared: bool,
    batch: int,
    types: int,
    n: int,
    seed: int,
    spread: float,
    threshold: float,
    block: tuple[int, int, int],
    max_spans: int | None,
    max_span_length: int | None,
) -> None:
    scores = make_scores(batch, types, n, shared, seed, spread, max_span_length)
    limits = torch.linspace(threshold, threshold + spread, types)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(span_blocks, "BLOCK_ROWS", block[0])
        patch.setattr(span_blocks, "_BLOCK_SCORES", {"cpu": block[1]})
        patch.setattr(span_blocks, "PIECE_ROWS", block[2])
        found = scores.above(limits, max_spans)
    expected = dense_set(scores, limits.tolist())
    if max_spans is not None:
        dense = scores.dense()
        for b, spans in enumerate(expected):
            best = sorted(spans, key=lambda span: -dense[(b, *span)].item())[:max_spans]
            expected[b] = [span for span in spans if span in best]
    assert rows(found.spans) == expected


@pytest.mark.parametrize("n", [9, 70])
@pytest.mark.parametrize("shared", [True, False])
def test_operators_keep_the_rules_of_torch(shared: bool, n: int) -> None:
    """Schemas, fake tensors, autograd registration and dynamic shapes, as torch's own checker sees them."""
    scores = make_scores(2, 3, n, shared, 0, 1.0, 4)
    positives = spans_from_labels(some_spans(scores, 0.1, 0)[0], 3, scores.mask, 4)
    query, key = scores.query.requires_grad_(), scores.key.requires_grad_()
    if shared:
        bounds = scores.start.requires_grad_(), scores.end.requires_grad_()
        torch.library.opcheck(shared_reductions.shared_row_logsumexp, (query, key, *bounds, scores.mask, positives, 4))
    else:
        torch.library.opcheck(per_type_reductions.row_logsumexp, (query, key, scores.mask, positives, 4))
        torch.library.opcheck(per_type_reductions.row_softplus, (query, key, scores.mask, positives, 4))
