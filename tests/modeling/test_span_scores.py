from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings, strategies as st

from hf_globalpointer import SpanScores
from hf_globalpointer.modeling import span_search
from modeling.dense import dense_set, random_scores, rows


SHAPES = st.integers(1, 3), st.integers(1, 4), st.integers(1, 8), st.booleans(), st.integers(0, 2**31)


@settings(max_examples=40)
@given(*SHAPES, st.lists(st.floats(-2, 2), min_size=4, max_size=4))
def test_above_is_the_dense_set_in_order(
    batch: int, types: int, n: int, shared: bool, seed: int, limits: list[float]
) -> None:
    scores = random_scores(batch, types, n, shared, seed)
    limits = torch.tensor(limits[:types]).tolist()  # rounded to float32, as they are compared
    found = scores.above(torch.tensor(limits))
    assert rows(found.spans) == dense_set(scores, limits)
    assert found.num_cut == 0
    torch.testing.assert_close(found.scores, scores.at(found.spans))
    one = scores.above(limits[0])
    assert rows(one.spans) == dense_set(scores, [limits[0]] * types)


@settings(max_examples=40)
@given(*SHAPES, st.integers(1, 6))
def test_max_spans_keeps_the_best_in_order(
    batch: int, types: int, n: int, shared: bool, seed: int, max_spans: int
) -> None:
    scores = random_scores(batch, types, n, shared, seed)
    dense = scores.dense()
    everything, kept = scores.above(-10.0), scores.above(-10.0, max_spans)
    for sample, (before, after) in enumerate(zip(rows(everything.spans), rows(kept.spans), strict=True)):
        best = sorted(before, key=lambda span: -dense[(sample, *span)].item())[:max_spans]
        assert after == [span for span in before if span in best]
    assert kept.num_cut == sum(map(len, rows(everything.spans))) - sum(map(len, rows(kept.spans)))


def test_ties_are_cut_in_the_documented_order() -> None:
    flat = SpanScores(*torch.zeros(2, 1, 1, 3, 2), *torch.ones(2, 1, 2, 3), torch.ones(1, 2, 3, dtype=torch.bool))
    order = [(0, 0, 2), (1, 0, 2), (0, 0, 1), (1, 0, 1), (0, 0, 0), (1, 0, 0), (0, 1, 2), (1, 1, 2)]
    for kept in range(1, 9):
        assert rows(flat.above(0.0, max_spans=kept).spans) == [order[:kept]]
    assert rows(flat.above(2.0).spans) == [[]]  # every score is 2: a span at the threshold is not over it


def test_a_sample_decodes_the_same_alone_and_in_any_batch() -> None:
    scores = random_scores(4, 3, 8, True, 7)
    together = rows(scores.above(0.0).spans)
    assert any(together)
    for index in range(4):
        part = slice(index, index + 1)
        alone = SpanScores(
            scores.query[part], scores.key[part], scores.start[part], scores.end[part], scores.mask[part]
        )
        assert rows(alone.above(0.0).spans) == [together[index]]


def test_nothing_over_the_threshold_gives_no_rows() -> None:
    found = random_scores(2, 3, 5, True, 0).above(1e9)
    assert found.spans.shape == (2, 0, 3)
    assert found.scores.shape == (2, 0)


@pytest.mark.parametrize(("shared", "part"), [(True, "query"), (True, "start"), (True, "end"), (False, "key")])
def test_factors_that_are_no_numbers_are_refused_unless_masked(shared: bool, part: str) -> None:
    scores = random_scores(2, 3, 5, shared, 0)
    scores.mask[:] = True
    expected = scores.above(0.0)
    getattr(scores, part)[1].fill_(torch.nan)
    with pytest.raises(FloatingPointError):
        scores.above(0.0)
    scores.mask[1] = False
    assert rows(scores.above(0.0).spans) == [rows(expected.spans)[0], []]


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("longest", [None, 1, 3, 5, 6, 9])
def test_a_span_lies_in_the_upper_triangle_and_the_band(shared: bool, longest: int | None) -> None:
    scores = replace(random_scores(1, 2, 6, shared, 0), max_span_length=longest)
    begin, end = scores.mask[0].tolist()
    pairs = [(i, j) for i in range(6) for j in range(i, min(6, i + (longest or 6))) if begin[i] and end[j]]
    assert 0 < len(pairs) < 21
    assert scores.dense()[0, 0].isfinite().nonzero().tolist() == [[i, j] for i, j in pairs]
    assert sorted(rows(scores.above(-torch.inf).spans)[0]) == [(a, i, j) for a in range(2) for i, j in pairs]
    assert scores.num_spans().tolist() == [len(pairs)]
    every = torch.tensor([[[1, i, j] for i in range(6) for j in range(i, 6)]])
    within = [j - i < (longest or 6) for _, i, j in every[0].tolist()]
    assert scores.at(every).isfinite().tolist() == [within]


@settings(max_examples=60)
@given(*SHAPES, st.sampled_from(["all", "nested", "flat"]))
def test_what_goes_together_is_chosen_from_the_best_down(
    batch: int, types: int, n: int, shared: bool, seed: int, overlap: str
) -> None:
    scores = random_scores(batch, types, n, shared, seed)
    found = scores.above(-0.5)
    chosen = found.select(overlap)
    torch.testing.assert_close(chosen.scores, scores.at(chosen.spans))
    dense = scores.dense()
    for sample, (spans, kept) in enumerate(zip(rows(found.spans), rows(chosen.spans), strict=True)):
        taken: list[tuple[int, int, int]] = []
        for span in sorted(spans, key=lambda span: -dense[(sample, *span)].item()):
            x = set(range(span[1], span[2] + 1))
            others = [set(range(i, j + 1)) for _, i, j in taken]
            if overlap == "flat" and any(x & y for y in others):
                continue
            if overlap == "nested" and any(x & y and not (x <= y or y <= x) for y in others):
                continue
            taken.append(span)
        assert kept == [span for span in spans if span in taken]


def test_choosing_keeps_the_rules_of_torch() -> None:
    found = random_scores(2, 3, 6, True, 0).above(-1.0)
    torch.library.opcheck(span_search.selected_rows, (found.spans, found.scores, "flat"))
