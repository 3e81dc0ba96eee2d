import itertools
import random

import pytest
from hypothesis import given, settings, strategies as st

from hf_globalpointer.modeling.span_decoding import CharSpan, Overlap, entities_of, merge_spans, select_spans


positions = st.integers(0, 4)
spans = st.builds(CharSpan, positions, positions, st.sampled_from("xyz"), st.sampled_from([0.25, 0.5, 0.75]))

# Distinct spans of at least one character, with few enough scores that many are the same.
distinct_spans = st.lists(
    st.builds(
        lambda start, length, label, score: CharSpan(start, start + length, label, score),
        st.integers(0, 12),
        st.integers(1, 8),
        st.sampled_from("xy"),
        st.sampled_from([0.5, 0.75]) | st.floats(0.5, 1),
    ),
    max_size=25,
    unique_by=lambda span: span[:3],
)
overlaps = st.sampled_from(["all", "nested", "flat"])


def test_highest_score_wins_in_any_order() -> None:
    seen = [CharSpan(0, 3, "person", score) for score in (0.6, 0.9, 0.7)]
    for order in itertools.permutations(seen):
        assert merge_spans(order) == [CharSpan(0, 3, "person", 0.9)]


def test_spans_that_differ_in_start_end_or_label_are_kept() -> None:
    kept = [
        CharSpan(0, 5, "person", 0.1),
        CharSpan(0, 3, "person", 0.2),
        CharSpan(0, 3, "place", 0.9),
        CharSpan(1, 3, "person", 0.5),
    ]
    for order in itertools.permutations(kept):
        assert merge_spans(order) == kept


def test_order_is_start_then_longer_then_label_whatever_the_score() -> None:
    ordered = [
        CharSpan(2, 9, "b", 0.1),
        CharSpan(2, 4, "a", 0.2),
        CharSpan(2, 4, "b", 0.9),
        CharSpan(10, 11, "a", 1.0),
    ]
    assert merge_spans(reversed(ordered)) == ordered


def test_nothing_to_merge() -> None:
    assert merge_spans(iter(())) == []


@given(st.lists(spans, max_size=12))
def test_merging_keeps_the_best_of_each_span(given_spans: list[CharSpan]) -> None:
    merged = merge_spans(given_spans)
    keys = [span[:3] for span in merged]
    assert len(keys) == len(set(keys))
    assert set(keys) == {span[:3] for span in given_spans}
    assert all(span.score == max(s.score for s in given_spans if s[:3] == span[:3]) for span in merged)
    assert keys == sorted(keys, key=lambda key: (key[0], -key[1], key[2]))
    assert merge_spans(merged) == merged


def test_entities_quote_the_text() -> None:
    text = "the 😀 Łódź"
    assert entities_of(text, [CharSpan(6, 10, "place", 0.5), CharSpan(4, 5, "face", 0.75)]) == [
        {"entity_group": "place", "score": 0.5, "word": "Łódź", "start": 6, "end": 10},
        {"entity_group": "face", "score": 0.75, "word": "😀", "start": 4, "end": 5},
    ]


def test_entities_keep_repeats_and_order() -> None:
    given_spans = [CharSpan(1, 2, "a", 0.5), CharSpan(0, 2, "a", 0.5), CharSpan(1, 2, "a", 0.5)]
    assert [entity["word"] for entity in entities_of("xy", given_spans)] == ["y", "xy", "y"]


def test_no_entities() -> None:
    assert entities_of("text", []) == []


def characters(span: CharSpan) -> set[int]:
    return set(range(span.start, span.end))


def go_together(a: CharSpan, b: CharSpan, overlap: Overlap) -> bool:
    """By sets of characters, not by comparing bounds."""
    if overlap == "all":
        return True
    x, y = characters(a), characters(b)
    return not x & y or (overlap == "nested" and (x <= y or y <= x))


def rank(span: CharSpan) -> tuple[float, int, int, str]:
    return -span.score, span.start, -span.end, span.label


def greedy(given_spans: list[CharSpan], overlap: Overlap, top_k: int | None = None) -> list[CharSpan]:
    taken: list[CharSpan] = []
    for span in sorted(given_spans, key=rank):
        if all(go_together(span, other, overlap) for other in taken):
            taken.append(span)
    return sorted(taken[:top_k], key=lambda span: (span.start, -span.end, span.label))


@settings(max_examples=300)
@given(distinct_spans, overlaps, st.none() | st.integers(0, 8))
def test_selection_is_greedy(given_spans: list[CharSpan], overlap: Overlap, top_k: int | None) -> None:
    expected = greedy(given_spans, overlap, top_k)
    assert select_spans(given_spans, overlap, top_k) == expected
    assert select_spans(iter(given_spans[::-1]), overlap, top_k) == expected


@settings(max_examples=300)
@given(distinct_spans, overlaps)
def test_nothing_clashes_and_nothing_is_left_out_without_cause(given_spans: list[CharSpan], overlap: Overlap) -> None:
    kept = select_spans(given_spans, overlap)
    assert all(go_together(a, b, overlap) for a, b in itertools.combinations(kept, 2))
    for span in set(given_spans) - set(kept):
        assert any(rank(other) < rank(span) and not go_together(span, other, overlap) for other in kept)
    assert select_spans(kept, overlap) == kept


@given(distinct_spans, overlaps, st.integers(0, 30))
def test_top_k_keeps_the_best_of_what_is_chosen(given_spans: list[CharSpan], overlap: Overlap, top_k: int) -> None:
    chosen = select_spans(given_spans, overlap)
    assert select_spans(given_spans, overlap, top_k) == [
        span for span in chosen if span in sorted(chosen, key=rank)[:top_k]
    ]


@pytest.mark.parametrize("overlap", ["nested", "flat"])
def test_selection_among_many_spans_of_a_long_text(overlap: Overlap) -> None:
    chance = random.Random(0)
    starts = [chance.randrange(3_000) for _ in range(800)]
    # Most are short, and a few span much of the text: the search for what is near must reach them.
    lengths = [chance.choice([1, 2, 3, 10, 40, 2_000]) for _ in starts]
    given_spans = merge_spans(
        CharSpan(start, start + length, chance.choice("xy"), chance.random())
        for start, length in zip(starts, lengths, strict=True)
    )
    assert select_spans(given_spans, overlap) == greedy(given_spans, overlap)


def test_policies_by_example() -> None:
    whole, inner, crossing, apart = (
        CharSpan(0, 6, "a", 0.7),
        CharSpan(1, 3, "a", 0.9),
        CharSpan(4, 8, "a", 0.6),
        CharSpan(8, 9, "a", 0.5),
    )
    everything = [whole, inner, crossing, apart]
    assert select_spans(everything) == everything
    assert select_spans(everything, "nested") == [whole, inner, apart]
    assert select_spans(everything, "flat") == [inner, crossing, apart]
    assert select_spans(everything, top_k=2) == [whole, inner]
    assert select_spans(everything, "flat", top_k=2) == [inner, crossing]
    assert select_spans(everything, top_k=0) == []


def test_of_two_labels_of_one_span_flat_takes_the_better() -> None:
    a, b = CharSpan(0, 3, "a", 0.8), CharSpan(0, 3, "b", 0.9)
    assert select_spans([a, b], "flat") == [b]
    assert select_spans([a, b], "nested") == [a, b]
    tied = a._replace(score=0.9)
    assert select_spans([b, tied], "flat") == [tied]


def test_ties_go_to_the_first_then_the_longer() -> None:
    early, late = CharSpan(0, 2, "b", 0.5), CharSpan(1, 4, "a", 0.5)
    assert select_spans([late, early], "flat") == [early]
    longer, shorter = CharSpan(0, 4, "b", 0.5), CharSpan(0, 2, "a", 0.5)
    assert select_spans([shorter, longer], "flat") == [longer]
    assert select_spans([shorter, longer], top_k=1) == [longer]


def test_spans_that_touch_go_together() -> None:
    touching = [CharSpan(0, 3, "a", 0.5), CharSpan(3, 5, "a", 0.9)]
    assert select_spans(touching, "flat") == touching


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"overlap": "x"}, "`overlap` must be one of .*'nested'.*got 'x'"),
        ({"overlap": ""}, "`overlap` must be one of"),
        ({"top_k": -1}, "`top_k` must be a whole number, 0 or more, got -1"),
    ],
)
def test_wrong_choices_are_errors(options: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        select_spans([], **options)
