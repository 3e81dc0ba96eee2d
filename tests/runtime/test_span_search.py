import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from hf_globalpointer import SpanScores
from hf_globalpointer.runtime.span_search import Factors, spans_above


def random_scores(seed: int, shared: bool, n: int, labels: int, longest: int | None, grid: bool) -> SpanScores:
    """Scores of 3 texts; on a grid, many of them are the same."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        values = torch.randn(shape, generator=generator)
        return (values * 2).round() / 2 if grid else values

    heads = 1 if shared else labels
    query, key = draw(3, heads, n, 4), draw(3, heads, n, 4)
    start, end = (draw(3, labels, n), draw(3, labels, n)) if shared else (None, None)
    mask = torch.rand((3, 2, n), generator=generator) < 0.8
    return SpanScores(query, key, start, end, mask, longest)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 10**6),
    shared=st.booleans(),
    n=st.sampled_from([1, 2, 7, 64, 65, 150]),
    labels=st.integers(1, 4),
    longest=st.sampled_from([None, 1, 3, 70]),
    grid=st.booleans(),
    max_spans=st.sampled_from([1, 5, 100_000]),
)
def test_it_finds_what_the_search_in_torch_finds(
    seed: int, shared: bool, n: int, labels: int, longest: int | None, grid: bool, max_spans: int
) -> None:
    scores = random_scores(seed, shared, n, labels, longest, grid)
    limits = torch.linspace(1.0, 2.0, labels)
    expected = scores.above(limits, max_spans)
    parts = (scores.query, scores.key, scores.start, scores.end)
    factors = Factors(*(None if part is None else part.numpy() for part in parts))
    spans, values, num_cut = spans_above(factors, scores.mask.numpy(), limits.numpy(), max_spans, longest)
    if grid:
        # Sums of a few halves are exact, so that ties are ties in both.
        assert spans.tolist() == expected.spans.tolist()
    else:
        assert spans.shape == tuple(expected.spans.shape)
    np.testing.assert_allclose(values, expected.scores.numpy(), rtol=1e-4, atol=1e-5)
    assert num_cut == int(expected.num_cut)


@pytest.mark.parametrize("part", range(4))
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_an_error_unless_no_span_has_them(part: int, value: float) -> None:
    scores = random_scores(0, True, 6, 2, None, False)
    parts = (scores.query, scores.key, scores.start, scores.end)
    factors = Factors(*(None if each is None else each.numpy() for each in parts))
    mask = np.ones((3, 2, 6), dtype=bool)
    factors[part][1, 0, 5] = value
    with pytest.raises(FloatingPointError, match="export it anew in float32"):
        spans_above(factors, mask, np.zeros(2, dtype=np.float32), 10, None)
    mask[:, :, 5] = False
    assert len(spans_above(factors, mask, np.zeros(2, dtype=np.float32), 10, None)[0]) == 3
