import itertools

from hypothesis import given
from hypothesis import strategies as st

from hf_globalpointer.modeling.span_decoding import CharSpan, entities_of, merge_spans


positions = st.integers(0, 4)
spans = st.builds(CharSpan, positions, positions, st.sampled_from("xyz"), st.sampled_from([0.25, 0.5, 0.75]))


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
