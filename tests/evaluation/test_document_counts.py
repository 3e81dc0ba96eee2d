import numpy as np
import pytest

from hf_globalpointer.data import Entity, Example
from hf_globalpointer.evaluation.document_counts import (
    DENSITIES,
    LENGTHS,
    DocumentCounts,
    count_by_density,
    count_by_label,
    count_by_length,
    count_by_longest,
)
from hf_globalpointer.evaluation.metrics import SpanCounts, score_predictions
from hf_globalpointer.evaluation.scored_documents import ScoredDocument, pair_predictions


def scored(text: str, gold: list[tuple[int, int, str]], predicted: list[tuple[int, int, str]] = []) -> ScoredDocument:  # noqa: B006
    entities = tuple(Entity(*row) for row in gold)
    return ScoredDocument(Example(text, entities), {Entity(*row): 0.9 for row in predicted})


def gold_groups(documents: DocumentCounts) -> dict[str, int]:
    return {name: counts.gold for name, counts in documents.metrics.per_label.items() if counts.gold}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("one", 1),
        ("U.S. troops", 2),
        (" one\ttwo\u00a0three\u3000four ", 4),
        ("北京大学", 4),
        ("\uff082004年\uff09北京", 5),
        ("カナ", 2),
        ("สวัสดี", 6),
        ("서울 시청", 2),
        ("e\u0301te\u0301", 1),
        ("\ud800", 1),
        ("   ", 0),
    ],
)
def test_words(text: str, words: int) -> None:
    # What stands before and after tells apart all counts.
    for more in range(8):
        longer = text + " x" * more
        (name,) = gold_groups(count_by_length([scored(longer, [(0, len(longer), "a")])]))
        assert name == LENGTHS[(words + more >= 3) + (words + more >= 6)]


def test_an_entity_has_the_words_it_lies_in_in_part() -> None:
    text = "in New-York City, then"
    assert text[7:13] == "York C"
    (name,) = gold_groups(count_by_length([scored(text, [(7, 13, "a")])]))
    assert name == "< 3"
    (name,) = gold_groups(count_by_length([scored(text, [(1, 13, "a")])]))
    assert name == "3-5"


def test_each_entity_counts_by_its_own_length() -> None:
    text = scored("a b c d e f", [(0, 1, "x"), (0, 5, "x")], [(0, 1, "x"), (0, 11, "x"), (0, 5, "y")])
    assert count_by_length([text]).metrics.per_label == {
        "< 3": SpanCounts(1, 1, 1),
        "3-5": SpanCounts(0, 1, 1),
        ">= 6": SpanCounts(0, 1, 0),
    }


def test_all_in_a_text_counts_by_its_longest_gold_entity() -> None:
    texts = [
        scored("a b c d e f", [(0, 1, "x"), (0, 5, "x")], [(0, 1, "x"), (0, 11, "x")]),
        scored("a b c", [], [(0, 5, "x")]),
    ]
    assert count_by_longest(texts).metrics.per_label == {
        "< 3": SpanCounts(0, 1, 0),
        "3-5": SpanCounts(1, 2, 2),
        ">= 6": SpanCounts(0, 0, 0),
    }


@pytest.mark.parametrize(
    ("covered", "words", "group"),
    [
        (0, 5, "< 0.1"),
        (0, 0, "< 0.1"),
        (1, 11, "< 0.1"),
        (1, 10, "0.1-0.3"),
        (6, 21, "0.1-0.3"),
        (3, 10, ">= 0.3"),
        (5, 5, ">= 0.3"),
    ],
)
def test_density_is_the_share_of_words_in_entities(covered: int, words: int, group: str) -> None:
    text = "w " * words
    gold = [(2 * index, 2 * index + 1, "x") for index in range(covered)]
    # Nested entities cover no more words, and predictions do not matter.
    gold += [(0, 2 * covered - 1, "y")] * (covered > 0)
    documents = count_by_density([scored(text or " ", gold, [(0, 1, "z")])])
    assert documents.names == DENSITIES
    assert [name for name, counts in documents.metrics.per_label.items() if counts.predicted] == [group]


def test_counts_by_label_are_those_of_score_predictions() -> None:
    examples = [
        Example("Ada met Bob", (Entity(0, 3, "person"), Entity(8, 11, "person"), Entity(8, 11, "person"))),
        Example("in Rome", (Entity(3, 7, "place"),)),
        Example("nothing"),
    ]
    found = [
        [{"entity_group": label, "start": start, "end": end, "score": 0.5, "word": ""} for label, start, end in rows]
        for rows in ([("person", 0, 3), ("person", 8, 10)], [("place", 3, 7)] * 2, [("event", 3, 7)])
    ]
    documents = count_by_label(pair_predictions(examples, found), ["place", "none"])
    assert documents.names == ("place", "none", "event", "person")
    assert documents.metrics == score_predictions(examples, found, ["place", "none"])
    assert documents.counts[:, 3].tolist() == [[1, 2, 2], [0, 0, 0], [0, 0, 0]]
    assert documents.counts.dtype == np.int64
