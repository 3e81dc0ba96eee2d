from collections import Counter

import pytest
from hypothesis import given, strategies as st

from hf_globalpointer.data import Entity, Example
from hf_globalpointer.evaluation.error_analysis import ErrorAnalysis, ErrorKind, match_entities
from hf_globalpointer.evaluation.metrics import SpanCounts, SpanMetrics
from hf_globalpointer.evaluation.scored_documents import ScoredDocument


entities = st.builds(
    lambda start, length, label: Entity(start, start + length, label),
    st.integers(0, 8),
    st.integers(1, 5),
    st.sampled_from("xyz"),
)
entity_sets = st.frozensets(entities, max_size=10)


def scored(gold: frozenset[Entity], predicted: frozenset[Entity]) -> ScoredDocument:
    return ScoredDocument(Example("w" * 20, tuple(gold)), dict.fromkeys(predicted, 0.9))


@pytest.mark.parametrize(
    ("gold", "predicted", "kinds"),
    [
        ([(0, 2, "a")], [(0, 2, "a")], []),
        ([(0, 2, "a")], [(0, 2, "b")], ["wrong label"]),
        ([(0, 3, "a")], [(1, 3, "a")], ["wrong boundary"]),
        ([(0, 3, "a")], [(1, 3, "b")], ["wrong label and boundary"]),
        ([(0, 3, "a")], [], ["missed"]),
        ([], [(0, 3, "a")], ["spurious"]),
        ([(0, 3, "a")], [(3, 5, "a")], ["missed", "spurious"]),  # they touch, and share no character
        ([(0, 3, "a")], [(0, 3, "a"), (0, 3, "b")], ["spurious"]),
        ([(0, 9, "a"), (0, 4, "a")], [(0, 9, "a")], ["missed"]),  # what is right is matched with nothing else
        # The span decides before the label, and the label before the overlap.
        ([(0, 3, "a")], [(0, 3, "b"), (0, 2, "a")], ["wrong label", "spurious"]),
        ([(0, 4, "a")], [(0, 3, "b"), (3, 9, "a")], ["wrong boundary", "spurious"]),
    ],
)
def test_kinds(gold: list[tuple[int, int, str]], predicted: list[tuple[int, int, str]], kinds: list[str]) -> None:
    errors = match_entities([Entity(*row) for row in gold], [Entity(*row) for row in predicted])
    assert [kind.value for kind, _, _ in errors] == kinds


def test_the_largest_overlap_is_matched_first() -> None:
    gold = [Entity(0, 4, "a"), Entity(2, 8, "a")]
    predicted = [Entity(1, 8, "a"), Entity(3, 5, "a")]
    assert list(match_entities(gold, predicted)) == [
        (ErrorKind.wrong_boundary, Entity(0, 4, "a"), Entity(3, 5, "a")),
        (ErrorKind.wrong_boundary, Entity(2, 8, "a"), Entity(1, 8, "a")),
    ]


@given(entity_sets, entity_sets)
def test_each_entity_counts_once_and_no_pair_is_left(gold: frozenset[Entity], predicted: frozenset[Entity]) -> None:
    errors = list(match_entities(gold, predicted))
    assert errors == list(match_entities(sorted(gold, reverse=True), sorted(predicted, reverse=True)))
    golds = [one for _, one, _ in errors if one is not None]
    founds = [other for _, _, other in errors if other is not None]
    assert Counter(golds) == Counter(gold - predicted)
    assert Counter(founds) == Counter(predicted - gold)
    left = [[e for kind, *pair in errors for e in pair if kind is k] for k in (ErrorKind.missed, ErrorKind.spurious)]
    for one in left[0]:
        for other in left[1]:
            assert one is None or other is None or one.end <= other.start or other.end <= one.start
    for kind, one, other in errors:
        if one is not None and other is not None:
            same_span, same_label = one.start == other.start and one.end == other.end, one.label == other.label
            assert one.start < other.end
            assert other.start < one.end
            expected = {(True, False): "wrong label", (False, True): "wrong boundary"}
            assert kind.value == expected.get((same_span, same_label), "wrong label and boundary")


@given(st.lists(st.tuples(entity_sets, entity_sets), max_size=4))
def test_agrees_with_an_independent_count(pairs: list[tuple[frozenset[Entity], frozenset[Entity]]]) -> None:
    analysis = ErrorAnalysis.from_documents([scored(*pair) for pair in pairs])
    keys = [[(i, e.label, e.start, e.end) for i, pair in enumerate(pairs) for e in pair[side]] for side in (0, 1)]
    kinds = [error.kind for error in analysis.errors]
    correct = analysis.correct.total()
    predicted = correct + len(kinds) - kinds.count(ErrorKind.missed)
    gold = correct + len(kinds) - kinds.count(ErrorKind.spurious)
    strict = SpanCounts(correct, predicted, gold)
    assert strict == SpanCounts(len(set(keys[0]) & set(keys[1])), len(keys[1]), len(keys[0]))
    assert strict == SpanMetrics.from_documents(*([pair[side] for pair in pairs] for side in (0, 1))).micro
    # Without labels, a span counts once.
    spans = [{(document, start, end) for document, _, start, end in side} for side in keys]
    assert analysis.boundaries == SpanCounts(len(spans[0] & spans[1]), len(spans[1]), len(spans[0]))
    assert correct <= analysis.labels.correct <= min(len(keys[0]), len(keys[1]))
    for label in "xyz":
        of_gold = sum(count for (gold, _), count in analysis.confusion.items() if gold == label)
        of_predicted = sum(count for (_, found), count in analysis.confusion.items() if found == label)
        assert (of_gold, of_predicted) == tuple(sum(key[1] == label for key in side) for side in keys)
    assert sum(count for *_, count in analysis.frequent()) == len(analysis.errors) == sum(analysis.kinds.values())


def test_confusion_and_frequency() -> None:
    gold = frozenset({Entity(0, 2, "a"), Entity(3, 5, "a"), Entity(6, 8, "b"), Entity(9, 12, "b")})
    predicted = frozenset({Entity(0, 2, "a"), Entity(3, 5, "b"), Entity(9, 11, "b")})
    analysis = ErrorAnalysis.from_documents([scored(gold, predicted)] * 2 + [scored(frozenset(), frozenset())])
    assert analysis.confusion == {("a", "a"): 2, ("a", "b"): 2, ("b", None): 4, (None, "b"): 2}
    assert analysis.frequent() == [
        (ErrorKind.wrong_label, "a", "b", 2),
        (ErrorKind.wrong_boundary, "b", "b", 2),
        (ErrorKind.missed, "b", None, 2),
    ]
    assert [error.document for error in analysis.errors] == [0, 0, 0, 1, 1, 1]


def most_pairs(gold: list[Entity], predicted: frozenset[Entity]) -> int:
    """The most pairs of one label that overlap, of all ways to pair."""
    if not gold:
        return 0
    one, *others = gold
    partners = [p for p in predicted if p.label == one.label and p.start < one.end and one.start < p.end]
    return max([most_pairs(others, predicted), *(1 + most_pairs(others, predicted - {p}) for p in partners)])


@given(st.frozensets(entities, max_size=6), st.frozensets(entities, max_size=6), entities)
def test_type_counts_are_the_most_pairs_and_never_fall(
    gold: frozenset[Entity], predicted: frozenset[Entity], another: Entity
) -> None:
    counts = ErrorAnalysis.from_documents([scored(gold, predicted)]).labels
    assert counts == SpanCounts(most_pairs(sorted(gold), predicted), len(predicted), len(gold))
    assert ErrorAnalysis.from_documents([scored(gold, predicted | {another})]).labels.correct >= counts.correct


def test_type_counts_where_the_same_span_has_another_label() -> None:
    gold = frozenset({Entity(0, 3, "a")})
    for predicted in ({Entity(0, 2, "a")}, {Entity(0, 2, "a"), Entity(0, 3, "b")}):
        assert ErrorAnalysis.from_documents([scored(gold, frozenset(predicted))]).labels.recall == 1


def test_boundary_counts_of_a_span_with_two_labels() -> None:
    gold, predicted = frozenset({Entity(0, 3, "a"), Entity(0, 3, "b")}), frozenset({Entity(0, 3, "a")})
    assert ErrorAnalysis.from_documents([scored(gold, predicted)]).boundaries == SpanCounts(1, 1, 1)
