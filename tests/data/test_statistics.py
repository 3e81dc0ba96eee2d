from collections import Counter
from importlib.resources import files

from hypothesis import given, settings, strategies as st

from hf_globalpointer.data import Entity, Example, read_examples
from hf_globalpointer.data.statistics import SplitStatistics, quantile


def statistics_of(*examples: Example) -> SplitStatistics:
    return SplitStatistics.from_examples(examples)


def test_counts_and_lengths() -> None:
    examples = [
        Example("Ada met Bob", (Entity(0, 3, "person"), Entity(8, 11, "person"))),
        Example("a b c d", (Entity(0, 5, "x"), Entity(2, 3, "x"), Entity(4, 7, "y"), Entity(4, 7, "x"))),
        Example("nothing"),
    ]
    found = statistics_of(*examples, Example("twice", (Entity(0, 5, "x"), Entity(0, 5, "x"))))
    assert (found.texts, found.without_entities) == (4, 1)
    assert found.entities == {"person": 2, "x": 4, "y": 1}
    assert (found.nested, found.crossing, found.doubly_labeled) == (4, 3, 2)
    assert found.text_characters == {11: 1, 7: 2, 5: 1}
    assert found.entity_characters == {3: 4, 5: 2, 1: 1}
    assert (found.text_tokens, found.entity_tokens) == ({}, {})


@settings(max_examples=100)
@given(spans=st.sets(st.tuples(st.integers(0, 9), st.integers(0, 9), st.sampled_from("xy")), max_size=8))
def test_overlaps_are_those_of_all_pairs(spans: set[tuple[int, int, str]]) -> None:
    entities = {Entity(start, end, label) for start, end, label in spans if start < end}

    def count(related: object) -> int:
        return sum(any(related(a, b) for b in entities if b != a) for a in entities)  # type: ignore[operator]

    def same(a: Entity, b: Entity) -> bool:
        return (a.start, a.end) == (b.start, b.end)

    def within(a: Entity, b: Entity) -> bool:
        return b.start <= a.start and a.end <= b.end

    found = statistics_of(Example("a" * 9, tuple(entities)))
    assert found.doubly_labeled == count(same)
    assert found.nested == count(lambda a, b: within(a, b) or within(b, a))
    assert found.crossing == count(
        lambda a, b: a.start < b.end and b.start < a.end and not (within(a, b) or within(b, a))
    )


@given(lengths=st.lists(st.integers(0, 20)), share=st.sampled_from([0.5, 0.95, 1.0]))
def test_quantile_is_that_of_the_sorted_list(lengths: list[int], share: float) -> None:
    expected = min((n for n in lengths if sum(m <= n for m in lengths) >= share * len(lengths)), default=0)
    assert quantile(Counter(lengths), share) == expected


def test_the_samples_are_nested_and_the_card_says_so() -> None:
    examples = list(read_examples(str(files("hf_globalpointer.data") / "samples" / "dev.jsonl")))
    statistics = SplitStatistics.from_examples(examples)
    assert (statistics.texts, statistics.entities.total(), statistics.nested) == (60, 192, 108)
