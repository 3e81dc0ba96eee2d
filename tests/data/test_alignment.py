import sys
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import EvalPrediction, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from conftest import bounds_of, windows_of
from hf_globalpointer.data import AlignmentReport, DataError, Entity, Example, encode_examples, read_examples
from hf_globalpointer.data.alignment import _SpanFinder
from hf_globalpointer.evaluation.metrics import ComputeSpanMetrics, score_predictions
from hf_globalpointer.modeling.token_windows import TokenWindow, trim_offsets
from hf_globalpointer.modeling.words import character_kinds, word_boundaries


SAMPLES = list(read_examples(str(files("hf_globalpointer.data") / "samples" / "dev.jsonl")))
SAMPLE_LABELS = sorted({entity.label for example in SAMPLES for entity in example.entities})
IDS = {"person": 0, "place": 1}
NO_TOKEN = "begins or ends where no token does"
IN_WORD = "begins or ends inside a word"
CUT = "is cut by every window"


def entity_of(text: str, words: str, label: str = "person") -> Entity:
    start = text.index(words)
    return Entity(start, start + len(words), label)


def spans_of(
    features: list[dict[str, Any]], tokenizer: PreTrainedTokenizerBase, text: str, **windows: Any
) -> Iterator[tuple[int, int, int, int]]:
    """(window, start, end, label id) of each label row, in the characters that the tokenizer itself states."""
    encoded = tokenizer(text, return_offsets_mapping=True, verbose=False)
    bounds = bounds_of(tokenizer, text, **windows) if windows else [(0, len(encoded["input_ids"]) - 2)]
    for window, (feature, (begin, end)) in enumerate(zip(features, bounds, strict=True)):
        places = [0, *range(begin + 1, min(end + 1, len(encoded["input_ids"]) - 1)), -1]
        assert feature["input_ids"] == [encoded["input_ids"][place] for place in places]
        offsets = [encoded["offset_mapping"][place] for place in places]
        for label, first, last in feature["labels"]:
            start, end = offsets[first][0], offsets[last][1]
            yield window, start + len(text[start:end]) - len(text[start:end].lstrip()), end, label


def encode_one(
    tokenizer: PreTrainedTokenizerBase, text: str, *entities: Entity, max_length: int = 64
) -> tuple[dict[str, Any], AlignmentReport]:
    (feature,), report = encode_examples([Example(text, entities)], tokenizer, IDS, max_length)
    return feature, report


def reasons(report: AlignmentReport) -> dict[tuple[int, int], str]:
    return {(item.entity.start, item.entity.end): item.reason for item in report.unaligned}


def test_rows_spell_the_entities_of_the_sample_data(wordpiece: PreTrainedTokenizerBase) -> None:
    label2id = {label: index for index, label in enumerate(SAMPLE_LABELS)}
    features, report = encode_examples(SAMPLES, wordpiece, label2id, 128)
    assert len(features) == len(SAMPLES)
    for example, feature in zip(SAMPLES, features, strict=True):
        found = [
            Entity(start, end, SAMPLE_LABELS[label])
            for _, start, end, label in spans_of([feature], wordpiece, example.text)
        ]
        assert found == sorted(example.entities)
    assert report.num_entities == sum(len(example.entities) for example in SAMPLES) > 20
    assert report.unaligned == []


def test_feature_is_what_the_tokenizer_returns_and_two_fields(wordpiece: PreTrainedTokenizerBase) -> None:
    text = "Angela Merkel left."
    feature, _ = encode_one(wordpiece, text, entity_of(text, "Angela Merkel"))
    assert {**wordpiece(text), "labels": [[0, 1, 3]], "span_token_mask": [0, 1, 1, 1, 1, 1, 0]} == feature


@pytest.mark.parametrize(
    ("start", "end", "row"),
    [(0, 13, [0, 1, 3]), (7, 13, [0, 2, 3]), (7, 10, [0, 2, 2]), (10, 13, [0, 3, 3]), (0, 19, [0, 1, 5])],
)
def test_rows_hold_first_and_last_token(
    wordpiece: PreTrainedTokenizerBase, start: int, end: int, row: list[int]
) -> None:
    text = "Angela Merkel left."
    assert wordpiece.tokenize(text) == ["angela", "mer", "##kel", "left", "."]
    feature, _ = encode_one(wordpiece, text, Entity(start, end, "person"))
    assert feature["labels"] == [row]


@pytest.mark.parametrize(
    ("start", "end"),
    [
        pytest.param(0, 12, id="end-too-early"),
        pytest.param(0, 14, id="end-at-blank"),
        pytest.param(1, 13, id="start-too-late"),
        pytest.param(6, 13, id="start-at-blank"),
        pytest.param(8, 9, id="inside-a-word-piece"),
        pytest.param(6, 7, id="blank-only"),
    ],
)
def test_entity_beside_the_tokens_is_counted_and_named(
    wordpiece: PreTrainedTokenizerBase, start: int, end: int
) -> None:
    text = "Angela Merkel left."
    example = Example(text, (Entity(start, end, "person"), Entity(0, 6, "place")), source="data.jsonl:4")
    (feature,), report = encode_examples([example], wordpiece, IDS, 64)
    assert feature["labels"] == [[1, 1, 1]]
    assert report.num_entities == 2
    assert report.unaligned_counts == {"person": 1}
    assert report.summary().splitlines() == [
        "1 of 2 entities aligned with the tokens; 1 dropped.",
        f"  not aligned: data.jsonl:4: {text[start:end]!r} (person, {start}-{end}) {NO_TOKEN}",
    ]


def test_summary_names_only_so_many(char_tokenizer: PreTrainedTokenizerFast) -> None:
    text = "a b c d"
    blanks = [Entity(i, i + 2, label) for i in (1, 3, 5) for label in ("person", "place")]
    _, report = encode_one(char_tokenizer, text, *blanks, Entity(0, 1, "person"))
    lines = report.summary(limit=2).splitlines()
    assert lines[0] == "1 of 7 entities aligned with the tokens; 6 dropped."
    assert [line.startswith("  not aligned: ") for line in lines[1:-1]] == [True, True]
    assert lines[-1] == "  ... and 4 more"
    assert len(report.summary(limit=6).splitlines()) == 7


def test_counts_add_up_over_examples(char_tokenizer: PreTrainedTokenizerFast) -> None:
    examples = [
        Example("a b", (Entity(0, 2, "person"), Entity(0, 1, "person"))),
        Example("a b", (Entity(1, 3, "person"), Entity(1, 3, "place"))),
    ]
    features, report = encode_examples(examples, char_tokenizer, IDS, 20)
    assert [feature["labels"] for feature in features] == [[[0, 1, 1]], []]
    assert report.num_entities == 4
    assert report.unaligned_counts == {"person": 2, "place": 1}


def test_repeated_entity_counts_once(char_tokenizer: PreTrainedTokenizerFast) -> None:
    feature, report = encode_one(char_tokenizer, "ab c", *[Entity(0, 2, "person")] * 3, *[Entity(2, 4, "person")] * 2)
    assert feature["labels"] == [[0, 1, 2]]
    assert report.num_entities == 2
    assert report.unaligned_counts == {"person": 1}


def test_nested_crossing_and_doubly_labeled_spans(char_tokenizer: PreTrainedTokenizerFast) -> None:
    entities = [Entity(0, 4, "person"), Entity(1, 2, "person"), Entity(0, 4, "place"), Entity(3, 6, "place")]
    feature, report = encode_one(char_tokenizer, "abcdef", *entities)
    assert sorted(feature["labels"]) == [[0, 1, 4], [0, 2, 2], [1, 1, 4], [1, 4, 6]]
    assert (report.num_entities, report.unaligned) == (4, [])


@pytest.mark.parametrize(
    ("example", "name"),
    [
        (Example("ab", (Entity(0, 1, "river"),), id="x", source="data.jsonl:4"), "data.jsonl:4"),
        (Example("ab", (Entity(0, 1, "river"),), id="x"), "x"),
        (Example("ab", (Entity(0, 1, "river"),)), "'ab'"),
    ],
)
def test_unknown_label_is_named(char_tokenizer: PreTrainedTokenizerFast, example: Example, name: str) -> None:
    with pytest.raises(DataError) as caught:
        encode_examples([Example("ok"), example], char_tokenizer, IDS, 20)
    assert str(caught.value).startswith(f"{name}: label 'river' is none of the model's labels (person, place);")


def test_mask_leaves_out_special_tokens_only(char_tokenizer: PreTrainedTokenizerFast) -> None:
    feature, _ = encode_one(char_tokenizer, "a 9😀 b", Entity(2, 4, "person"))
    assert char_tokenizer.convert_ids_to_tokens(feature["input_ids"]) == ["[CLS]", "a", "[UNK]", "[UNK]", "b", "[SEP]"]
    assert feature["span_token_mask"] == [0, 1, 1, 1, 1, 0]
    assert feature["labels"] == [[0, 2, 3]]


def test_unknown_word_can_be_an_entity(wordpiece: PreTrainedTokenizerBase) -> None:
    text = "the ☃ melts"
    feature, _ = encode_one(wordpiece, text, entity_of(text, "☃"))
    assert feature["input_ids"][2] == wordpiece.unk_token_id
    assert feature["span_token_mask"] == [0, *[1] * (len(feature["input_ids"]) - 2), 0]
    assert feature["labels"] == [[0, 2, 2]]


def test_empty_text_is_one_feature_without_spans(wordpiece: PreTrainedTokenizerBase) -> None:
    features, report = encode_examples([Example(""), Example("  ")], wordpiece, IDS, 16)
    assert [feature["span_token_mask"] for feature in features] == [[0, 0], [0, 0]]
    assert [feature["labels"] for feature in features] == [[], []]
    assert report.num_entities == 0


def test_no_examples(wordpiece: PreTrainedTokenizerBase) -> None:
    features, report = encode_examples(iter(()), wordpiece, IDS, 16)
    assert (features, report.num_entities, report.unaligned) == ([], 0, [])


def test_every_entity_that_fits_the_overlap_is_in_a_window(char_tokenizer: PreTrainedTokenizerFast) -> None:
    text = "abcdefghijklmnopqrstuvwxyz"
    stride = 4
    entities = [Entity(i, i + n, "person") for n in range(1, stride + 1) for i in range(len(text) - n + 1)]
    features, report = encode_examples([Example(text, tuple(entities))], char_tokenizer, IDS, 10, stride)
    assert max(len(feature["input_ids"]) for feature in features) == 10
    assert len(features) == 6
    windows = {"max_length": 10, "stride": stride}
    found = [Entity(s, e, "person") for _, s, e, _ in spans_of(features, char_tokenizer, text, **windows)]
    assert set(found) == set(entities)
    assert len(found) > len(entities)
    assert (report.num_entities, report.unaligned) == (len(entities), [])


def test_entity_longer_than_a_window_is_cut(char_tokenizer: PreTrainedTokenizerFast) -> None:
    text = "abcdefghijklmnopqrst"
    fits, cut, whole = Entity(0, 8, "person"), Entity(0, 9, "person"), Entity(0, 20, "place")
    features, report = encode_examples([Example(text, (fits, cut, whole))], char_tokenizer, IDS, 10, 4)
    assert [feature["labels"] for feature in features] == [[[0, 1, 8]], [], [], []]
    assert reasons(report) == {(0, 9): CUT, (0, 20): CUT}
    assert report.unaligned_counts == {"person": 1, "place": 1}


def test_windows_of_several_texts_stay_apart(char_tokenizer: PreTrainedTokenizerFast) -> None:
    examples = [
        Example("abcdefghij", (Entity(9, 10, "person"),)),
        Example("kl", (Entity(0, 1, "place"),)),
        Example("mnopqrstuv", (Entity(0, 1, "person"),)),
    ]
    features, report = encode_examples(examples, char_tokenizer, IDS, 8, 0)
    texts = ["".join(char_tokenizer.convert_ids_to_tokens(f["input_ids"][1:-1])) for f in features]
    assert texts == ["abcdef", "ghij", "kl", "mnopqr", "stuv"]
    assert [feature["labels"] for feature in features] == [[], [[0, 4, 4]], [[1, 1, 1]], [[0, 1, 1]], []]
    assert report.unaligned == []


def test_long_sample_texts_spell_their_entities(wordpiece: PreTrainedTokenizerBase) -> None:
    label2id = {label: index for index, label in enumerate(SAMPLE_LABELS)}
    windows = {"max_length": 20, "stride": 8}
    num_windows = 0
    for example in SAMPLES[:10]:
        features, report = encode_examples([example], wordpiece, label2id, 20, 8)
        num_windows += len(features)
        found = {
            Entity(start, end, SAMPLE_LABELS[label])
            for _, start, end, label in spans_of(features, wordpiece, example.text, **windows)
        }
        short = {e for e in example.entities if len(wordpiece.tokenize(example.text[e.start : e.end])) <= 8}
        assert found == set(example.entities) - {item.entity for item in report.unaligned}
        assert short <= found
    assert num_windows > 15


@pytest.mark.parametrize(("stride", "message"), [(-1, "0..7"), (8, "0..7")])
def test_stride_must_leave_room(char_tokenizer: PreTrainedTokenizerFast, stride: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        encode_examples([Example("ab")], char_tokenizer, IDS, 10, stride)


def test_character_of_several_tokens_is_taken_whole(byte_level: PreTrainedTokenizerFast) -> None:
    text = "the 😀 cat"
    feature, report = encode_one(byte_level, text, entity_of(text, "😀"), entity_of(text, "😀 cat", "place"))
    tokens = byte_level.convert_ids_to_tokens(feature["input_ids"])
    assert tokens == ["<s>", "the", "Ġ", "ð", "Ł", "ĺ", "Ģ", "Ġcat", "</s>"]
    assert feature["labels"] == [[0, 3, 6], [1, 3, 7]]
    assert report.unaligned == []


def test_blank_tokens_bound_no_span(byte_level: PreTrainedTokenizerFast) -> None:
    feature, _ = encode_one(byte_level, "the 😀  cat ")
    tokens = byte_level.convert_ids_to_tokens(feature["input_ids"])
    assert tokens == ["<s>", "the", "Ġ", "ð", "Ł", "ĺ", "Ģ", "Ġ", "Ġcat", "Ġ", "</s>"]
    assert feature["span_token_mask"] == [0, 1, 0, 1, 1, 1, 1, 0, 1, 0, 0]


def test_token_of_several_characters_is_all_or_nothing(byte_level: PreTrainedTokenizerFast) -> None:
    text = "the cat"
    feature, report = encode_one(byte_level, text, Entity(4, 7, "person"), Entity(4, 6, "person"))
    assert byte_level.convert_ids_to_tokens(feature["input_ids"]) == ["<s>", "the", "Ġcat", "</s>"]
    assert feature["labels"] == [[0, 2, 2]]
    assert reasons(report) == {(4, 6): NO_TOKEN}


def test_leading_blanks_in_offsets_are_no_part_of_entities(byte_level: PreTrainedTokenizerFast) -> None:
    text = "the  cat sat"
    raw = byte_level(text, return_offsets_mapping=True)["offset_mapping"]
    assert [text[start:end] for start, end in raw[1:-1]] == ["the", " ", " cat", " sat"]
    feature, report = encode_one(byte_level, text, entity_of(text, "cat"), entity_of(text, " cat"))
    assert feature["labels"] == [[0, 3, 3]]
    assert reasons(report) == {(4, 8): NO_TOKEN}


def test_lone_surrogate_keeps_the_offsets(char_tokenizer: PreTrainedTokenizerFast) -> None:
    feature, _ = encode_one(char_tokenizer, "a \ud83d b", Entity(4, 5, "person"), Entity(2, 3, "place"))
    assert feature["labels"] == [[1, 2, 2], [0, 3, 3]]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text("ab9 \t", min_size=1, max_size=30), data=st.data())
def test_aligned_if_and_only_if_no_blank_at_the_edges(
    char_tokenizer: PreTrainedTokenizerFast, text: str, data: st.DataObject
) -> None:
    bounds = st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).filter(lambda b: b[0] < b[1])
    entities = {Entity(*b, "person") for b in data.draw(st.lists(bounds, max_size=6))}
    features, report = encode_examples([Example(text, tuple(entities))], char_tokenizer, IDS, 40)
    clean = {e for e in entities if text[e.start : e.end] == text[e.start : e.end].strip()}
    assert {Entity(s, e, "person") for _, s, e, _ in spans_of(features, char_tokenizer, text)} == clean
    assert {item.entity for item in report.unaligned} == entities - clean
    assert sum(features[0]["span_token_mask"]) == len("".join(text.split()))


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=st.text("abc", min_size=1, max_size=40), max_length=st.integers(4, 12), data=st.data())
def test_windows_lose_only_what_does_not_fit(
    char_tokenizer: PreTrainedTokenizerFast, text: str, max_length: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(0, max_length - 3))
    entities = {Entity(i, j, "person") for i in range(len(text)) for j in range(i + 1, len(text) + 1)}
    features, report = encode_examples([Example(text, tuple(entities))], char_tokenizer, IDS, max_length, stride)
    room = max_length - 2
    starts = range(0, max(len(text) - stride, 1), room - stride)
    expected = [{e for e in entities if start <= e.start and e.end <= start + room} for start in starts]
    got: list[set[Entity]] = [set() for _ in features]
    windows = {"max_length": max_length, "stride": stride}
    for window, start, end, _ in spans_of(features, char_tokenizer, text, **windows):
        got[window].add(Entity(start, end, "person"))
    assert got == expected
    lost = entities - set().union(*expected)
    assert {(item.entity, item.reason) for item in report.unaligned} == {(entity, CUT) for entity in lost}


@settings(max_examples=300)
@given(
    text=st.text(st.sampled_from("ab \t\n\u00a0\u2003\u3000\u200b\x1c\x85\ud83d😀") | st.characters(), max_size=25),
    data=st.data(),
)
def test_tidy_offsets_strips_like_str(text: str, data: st.DataObject) -> None:
    position = st.integers(0, len(text))
    spans = data.draw(st.lists(st.tuples(position, position).map(sorted), min_size=1, max_size=8))
    trimmed = trim_offsets(character_kinds(text), np.array(spans, dtype=np.int64)).tolist()
    for (start, end), (new_start, new_end) in zip(spans, trimmed, strict=True):
        piece = text[start:end]
        if piece.strip():
            assert new_start == start + len(piece) - len(piece.lstrip())
            assert new_end == start + len(piece.rstrip())
        else:
            assert start <= new_start == new_end <= end


def test_every_blank_of_unicode_is_trimmed() -> None:
    blanks = [chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()]
    assert len(blanks) > 20
    for blank in blanks:
        assert trim_offsets(character_kinds(f"{blank}a{blank}"), np.array([[0, 3]])).tolist() == [[1, 2]], ascii(blank)


def test_offsets_and_mask_go_with_the_inputs(byte_level: PreTrainedTokenizerFast) -> None:
    (window,) = windows_of(byte_level, [" the cat"], 16)
    assert window.offsets.tolist() == [[0, 0], [1, 4], [5, 8], [0, 0]]
    assert window.span_token_mask.tolist() == [0, 1, 1, 0]


@pytest.mark.parametrize("text", ["", "  "])
def test_an_empty_text_without_special_tokens_is_a_feature_without_tokens(text: str) -> None:
    tokenizer = Tokenizer(models.WordLevel({"[PAD]": 0, "[UNK]": 1}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]")
    (feature,), _ = encode_examples([Example(text)], fast, {}, 16)
    assert (feature["labels"], feature["span_token_mask"]) == ([], [])


def test_a_mark_that_the_tokenizer_drops_belongs_to_the_letter_before_it(wordpiece: PreTrainedTokenizerBase) -> None:
    text = "Jose\u0301 left"
    (feature,), report = encode_examples([Example(text, (Entity(0, 5, "p"),))], wordpiece, {"p": 0}, 16)
    assert feature["labels"] == [[0, 1, 1]]
    assert not report.unaligned
    (window,) = windows_of(wordpiece, [text], 16)
    assert window.offsets.tolist() == [[0, 0], [0, 5], [6, 10], [0, 0]]


def test_a_mark_with_a_token_of_its_own_stays_with_it() -> None:
    offsets = np.array([[0, 1], [1, 2], [2, 3]])
    assert trim_offsets(character_kinds("e\u0301x"), offsets).tolist() == offsets.tolist()


def test_an_edge_that_the_tokenizer_drops_is_reported(wordpiece: PreTrainedTokenizerBase) -> None:
    _, report = encode_examples([Example("\u200bAda left", (Entity(0, 4, "p"),))], wordpiece, {"p": 0}, 16)
    assert [item.reason for item in report.unaligned] == [NO_TOKEN]


def test_word_aligned_leaves_out_what_begins_or_ends_inside_a_word(wordpiece: PreTrainedTokenizerBase) -> None:
    text = "Angela Merkel's CDU."
    whole, possessive = entity_of(text, "Angela Merkel"), entity_of(text, "'s CDU")
    begins_inside, ends_inside = entity_of(text, "kel's"), entity_of(text, "Angela Mer", "place")
    example = Example(text, (whole, begins_inside, ends_inside, possessive))
    (plain,), report = encode_examples([example], wordpiece, IDS, 16)
    assert sorted(plain["labels"]) == [[0, 1, 3], [0, 3, 5], [0, 4, 7], [1, 1, 2]]
    assert report.unaligned == []
    (feature,), report = encode_examples([example], wordpiece, IDS, 16, word_aligned=True)
    assert sorted(feature["labels"]) == [[0, 1, 3], [0, 4, 7]]
    assert [item.entity for item in report.unaligned] == [ends_inside, begins_inside]
    assert {item.reason for item in report.unaligned} == {IN_WORD}
    assert report.num_entities == 4
    assert report.unaligned_counts == {"person": 1, "place": 1}
    assert report.summary().startswith("2 of 4 entities aligned")


def test_word_aligned_features_say_where_spans_may_begin_and_end(wordpiece: PreTrainedTokenizerBase) -> None:
    (plain,), _ = encode_examples([Example("Angela Merkel left.")], wordpiece, IDS, 16)
    (feature,), _ = encode_examples([Example("Angela Merkel left.")], wordpiece, IDS, 16, word_aligned=True)
    assert plain["span_token_mask"] == [0, 1, 1, 1, 1, 1, 0]
    assert feature["span_token_mask"] == [[0, 1, 1, 0, 1, 1, 0], [0, 1, 0, 1, 1, 1, 0]]
    del plain["span_token_mask"], feature["span_token_mask"]
    assert feature == plain


def test_word_aligned_takes_a_character_of_several_tokens_whole(byte_level: PreTrainedTokenizerFast) -> None:
    text = "the 😀 cat"
    example = Example(text, (entity_of(text, "😀"), entity_of(text, "😀 cat", "place")))
    (feature,), report = encode_examples([example], byte_level, IDS, 16, word_aligned=True)
    assert feature["labels"] == [[0, 3, 6], [1, 3, 7]]
    assert feature["span_token_mask"] == [[0, 1, 0, 1, 1, 1, 1, 1, 0]] * 2
    assert report.unaligned == []


def test_a_word_that_a_window_cuts_ends_or_begins_no_span_there(char_tokenizer: PreTrainedTokenizerFast) -> None:
    example = Example("ab cdef gh", (Entity(3, 7, "person"), Entity(0, 2, "person"), Entity(3, 5, "person")))
    features, report = encode_examples([example], char_tokenizer, IDS, 6, 0, word_aligned=True)
    assert [feature["span_token_mask"] for feature in features] == [
        [[0, 1, 0, 1, 0, 0], [0, 0, 1, 0, 0, 0]],
        [[0, 0, 0, 1, 0, 0], [0, 0, 1, 0, 1, 0]],
    ]
    assert [feature["labels"] for feature in features] == [[[0, 1, 2]], []]
    assert reasons(report) == {(3, 5): IN_WORD, (3, 7): CUT}


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=st.text(st.sampled_from("ab1_ '.\u0301東"), min_size=1, max_size=30),
    max_length=st.integers(5, 40),
    data=st.data(),
)
def test_word_aligned_is_aligned_and_bounded_by_words(
    char_tokenizer: PreTrainedTokenizerFast, text: str, max_length: int, data: st.DataObject
) -> None:
    bounds = st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).filter(lambda b: b[0] < b[1])
    entities = {Entity(*b, "person") for b in data.draw(st.lists(bounds, max_size=8))}
    example = Example(text, tuple(entities))
    plain, plain_report = encode_examples([example], char_tokenizer, IDS, max_length)
    features, report = encode_examples([example], char_tokenizer, IDS, max_length, word_aligned=True)
    edges = set(word_boundaries(text).nonzero()[0].tolist())
    inside = {entity for entity in entities if not {entity.start, entity.end} <= edges}
    assert {item.entity for item in report.unaligned} == {item.entity for item in plain_report.unaligned} | inside
    assert report.num_entities == len(entities)
    for feature, whole in zip(features, plain, strict=True):
        may_begin, may_end = feature["span_token_mask"]
        expected = [row for row in whole["labels"] if may_begin[row[1]] and may_end[row[2]]]
        assert sorted(feature["labels"]) == sorted(expected)
        assert all(a <= b for row in (may_begin, may_end) for a, b in zip(row, whole["span_token_mask"], strict=True))


def expand_one(
    tokenizer: PreTrainedTokenizerBase, text: str, *entities: Entity, **options: Any
) -> tuple[list[dict[str, Any]], AlignmentReport]:
    return encode_examples([Example(text, entities)], tokenizer, IDS, on_unaligned="expand", **options)


@pytest.mark.parametrize(
    ("start", "end", "row", "expanded"),
    [
        pytest.param(0, 12, [0, 1, 3], (0, 13), id="end-too-early"),
        pytest.param(0, 14, [0, 1, 3], (0, 13), id="end-at-blank"),
        pytest.param(1, 13, [0, 1, 3], (0, 13), id="start-too-late"),
        pytest.param(6, 13, [0, 2, 3], (7, 13), id="start-at-blank"),
        pytest.param(8, 9, [0, 2, 2], (7, 10), id="inside-a-word-piece"),
        pytest.param(9, 11, [0, 2, 3], (7, 13), id="across-word-pieces"),
        pytest.param(5, 8, [0, 1, 2], (0, 10), id="across-a-blank"),
        pytest.param(6, 7, None, None, id="blank-only"),
    ],
)
def test_expanded_to_the_whole_tokens_it_touches(
    wordpiece: PreTrainedTokenizerBase,
    start: int,
    end: int,
    row: list[int] | None,
    expanded: tuple[int, int] | None,
) -> None:
    text = "Angela Merkel left."
    (feature,), report = expand_one(wordpiece, text, Entity(start, end, "person"), max_length=16)
    assert feature["labels"] == ([row] if row else [])
    (item,) = report.unaligned
    assert item.reason == NO_TOKEN
    assert item.expanded == (Entity(*expanded, "person") if expanded else None)
    assert (report.num_entities, report.num_aligned) == (1, 0)
    assert (len(report.expanded), len(report.dropped)) == ((1, 0) if expanded else (0, 1))


def test_expanded_to_what_is_labeled_already_counts_once(wordpiece: PreTrainedTokenizerBase) -> None:
    text = "Angela Merkel left."
    entities = [Entity(0, 13, "person"), Entity(0, 12, "person"), Entity(1, 13, "place"), Entity(2, 13, "place")]
    (feature,), report = expand_one(wordpiece, text, *entities, max_length=16)
    assert feature["labels"] == [[0, 1, 3], [1, 1, 3]]
    assert [(item.entity, item.expanded, item.merged) for item in report.unaligned] == [
        (Entity(0, 12, "person"), Entity(0, 13, "person"), True),
        (Entity(1, 13, "place"), Entity(0, 13, "place"), False),
        (Entity(2, 13, "place"), Entity(0, 13, "place"), True),
    ]
    lines = report.summary().splitlines()
    assert lines[0] == "1 of 4 entities aligned with the tokens; 3 expanded."
    assert lines[1].endswith(
        f"'Angela Merke' (person, 0-12) {NO_TOKEN}; expanded to 'Angela Merkel' (person, 0-13), which is labeled "
        "already"
    )


def test_expanded_over_whole_words(wordpiece: PreTrainedTokenizerBase) -> None:
    text = "Angela Merkel left."
    (feature,), report = expand_one(wordpiece, text, entity_of(text, "kel"), max_length=16, word_aligned=True)
    assert feature["labels"] == [[0, 2, 3]]
    assert [item.expanded for item in report.unaligned] == [entity_of(text, "Merkel")]


def test_expanded_in_every_window_that_holds_it_and_nowhere_cut(byte_level: PreTrainedTokenizerFast) -> None:
    text = "cat sat the near cat"
    tokens = ["<s>", "cat", "Ġsat", "Ġthe", "Ġnear", "Ġcat", "</s>"]
    assert byte_level.convert_ids_to_tokens(byte_level(text)["input_ids"]) == tokens
    both, cut = Entity(5, 10, "person"), Entity(1, 14, "place")
    features, report = expand_one(byte_level, text, both, cut, max_length=5, stride=2)
    assert [feature["labels"] for feature in features] == [[[0, 2, 3]], [[0, 1, 2]], []]
    assert [(item.entity, item.reason, item.expanded) for item in report.unaligned] == [
        (cut, CUT, None),
        (both, NO_TOKEN, Entity(4, 11, "person")),
    ]
    assert report.summary().startswith("0 of 2 entities aligned with the tokens; 1 expanded, 1 dropped.")


def test_a_whole_entity_that_every_window_cuts_is_dropped(char_tokenizer: PreTrainedTokenizerFast) -> None:
    features, report = expand_one(char_tokenizer, "abcdefghij", Entity(0, 9, "person"), max_length=8, stride=4)
    assert not any(feature["labels"] for feature in features)
    assert [(item.reason, item.expanded) for item in report.unaligned] == [(CUT, None)]


def test_unaligned_can_be_an_error(wordpiece: PreTrainedTokenizerBase) -> None:
    fine, bad = (Example("Angela Merkel left.", (Entity(0, end, "person"),), id=f"no {end}") for end in (13, 12))
    features, report = encode_examples([fine], wordpiece, IDS, 16, on_unaligned="error")
    assert (features[0]["labels"], report.unaligned) == ([[0, 1, 3]], [])
    with pytest.raises(
        DataError, match=r"^no 12: 'Angela Merke' \(person, 0-12\) begins or ends where .* correct its"
    ):
        encode_examples([fine, bad], wordpiece, IDS, 16, on_unaligned="error")
    with pytest.raises(DataError, match=r"is cut by every window; correct .* longer windows"):
        encode_examples([fine], wordpiece, IDS, 4, on_unaligned="error")
    with pytest.raises(ValueError, match="must be one of drop, expand, error, got 'skip'"):
        encode_examples([fine], wordpiece, IDS, 16, on_unaligned="skip")  # type: ignore[arg-type]


def test_scores_on_expanded_labels_are_refused(wordpiece: PreTrainedTokenizerBase) -> None:
    """A model that predicts all label rows must not score better than it would in characters."""
    examples = [Example("Angela Merkel left.", (Entity(0, 12, "person"), Entity(14, 18, "place")))]
    (feature,), report = encode_examples(examples, wordpiece, IDS, 16)
    rows = np.array([feature["labels"]])
    metrics = ComputeSpanMetrics({0: "person", 1: "place"}, unaligned=report.unaligned_counts, per_label=False)
    scores = metrics(EvalPrediction(predictions=rows, label_ids=rows))
    (window,) = windows_of(wordpiece, [examples[0].text], 16)
    found = [
        [
            {
                "entity_group": ["person", "place"][kind],
                "start": window.offsets[first, 0],
                "end": window.offsets[last, 1],
            }
            for kind, first, last in rows[0].tolist()
        ]
    ]
    assert scores == score_predictions(examples, found, IDS).to_dict(per_label=False)
    assert scores["recall"] == 0.5
    _, report = encode_examples(examples, wordpiece, IDS, 16, on_unaligned="expand")
    with pytest.raises(ValueError, match=r'too good; encode .* `on_unaligned="drop"`'):
        _ = report.unaligned_counts


def slow_reference(
    example: Example, windows: list[TokenWindow], label2id: dict[str, int], expand: bool, word_aligned: bool
) -> tuple[list[list[list[int]]], list[tuple[Entity, str, Entity | None]]]:
    """Labels and what is unaligned, found by looking at every token for every entity."""
    masks = [np.broadcast_to(window.span_token_mask, (2, len(window.offsets))) for window in windows]

    def rows(entity: Entity) -> list[list[int]]:
        found = []
        for number, (window, (may_begin, may_end)) in enumerate(zip(windows, masks, strict=True)):
            firsts = [t for t, (start, _) in enumerate(window.offsets) if start == entity.start and may_begin[t]]
            lasts = [t for t, (_, end) in enumerate(window.offsets) if end == entity.end and may_end[t]]
            if firsts and lasts:
                found.append([number, label2id[entity.label], firsts[0], lasts[-1]])
        return found

    begins, ends, tokens = set(), set(), set()
    for window, (may_begin, may_end) in zip(windows, masks, strict=True):
        pairs = [(int(start), int(end)) for start, end in window.offsets]
        tokens |= {pair for pair in pairs if pair[0] < pair[1]}
        begins |= {pair[0] for pair, may in zip(pairs, may_begin, strict=True) if may}
        ends |= {pair[1] for pair, may in zip(pairs, may_end, strict=True) if may}
    edges = set(word_boundaries(example.text).nonzero()[0].tolist())
    labeled = {entity for entity in example.entities if rows(entity)}
    placed, unaligned = [row for entity in sorted(labeled) for row in rows(entity)], []
    for entity in sorted(set(example.entities) - labeled):
        reason, wider = CUT if entity.start in begins and entity.end in ends else NO_TOKEN, None
        if word_aligned and not {entity.start, entity.end} <= edges:
            reason = IN_WORD
        touched = [pair for pair in tokens if pair[0] < entity.end and pair[1] > entity.start]
        before = [start for start in begins if touched and start <= min(start for start, _ in touched)]
        after = [end for end in ends if touched and end >= max(end for _, end in touched)]
        if expand and before and after:
            wider = Entity(max(before), min(after), entity.label)
            if wider not in labeled:
                placed += rows(wider)
                labeled.add(wider)
            if not rows(wider):
                reason, wider = CUT, None
        unaligned.append((entity, reason, wider))
    return [[row[1:] for row in placed if row[0] == number] for number in range(len(windows))], unaligned


PIECES = [
    "cat",
    "the",
    "near",
    "a",
    "b",
    " ",
    "  ",
    "\t",
    "\n",
    "北京",
    "大",
    "😀",
    "ﬁ",
    "①",
    "e\u0301",
    "½",
    ".",
    "'",
    "é",
    "9",
]


@settings(max_examples=250, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(st.lists(st.sampled_from(PIECES), max_size=14).map("".join), min_size=1, max_size=4),
    word_aligned=st.booleans(),
    expand=st.booleans(),
    max_length=st.integers(6, 30),
    which=st.sampled_from(["wordpiece", "byte_level", "unigram", "char_tokenizer"]),
    data=st.data(),
)
def test_same_as_looking_at_every_token_for_every_entity(
    request: pytest.FixtureRequest,
    texts: list[str],
    word_aligned: bool,
    expand: bool,
    max_length: int,
    which: str,
    data: st.DataObject,
) -> None:
    tokenizer = request.getfixturevalue(which)
    examples = []
    for text in texts:
        spans = [(i, j) for i in range(len(text)) for j in range(i + 1, len(text) + 1)]
        some = data.draw(st.lists(st.sampled_from(spans), max_size=6)) if spans else []
        examples.append(Example(text, tuple(Entity(*span, data.draw(st.sampled_from([*IDS]))) for span in some)))
    how = "expand" if expand else "drop"
    features, report = encode_examples(examples, tokenizer, IDS, max_length, None, word_aligned, how)
    expected, unaligned = [], []
    for example in examples:
        windows = windows_of(tokenizer, [example.text], max_length, word_aligned=word_aligned)
        labels, missed = slow_reference(example, windows, IDS, expand, word_aligned)
        unaligned += missed
        for window, rows in zip(windows, labels, strict=True):
            inputs = {name: values.tolist() for name, values in window.inputs.items()}
            expected.append({**inputs, "span_token_mask": window.span_token_mask.tolist(), "labels": rows})
            # There and back: a row is the very characters of an entity, or of what one was expanded to.
            spans = {(window.offsets[first, 0], window.offsets[last, 1], kind) for kind, first, last in rows}
            wanted = {*example.entities, *(wider for _, _, wider in missed if wider)}
            assert spans <= {(entity.start, entity.end, IDS[entity.label]) for entity in wanted}
    assert features == expected
    assert [(item.entity, item.reason, item.expanded) for item in report.unaligned] == unaligned
    assert report.num_entities == sum(len(set(example.entities)) for example in examples)


def test_one_character_as_several_tokens_and_several_as_one(unigram: PreTrainedTokenizerFast) -> None:
    text = "①½ cat ﬁ"
    entities = [entity_of(text, "½"), entity_of(text, "cat", "place"), entity_of(text, "ﬁ")]
    (feature,), report = encode_examples([Example(text, tuple(entities))], unigram, IDS, 30)
    (window,) = windows_of(unigram, [text], 30)
    assert report.unaligned == []
    spans = [(window.offsets[first, 0], window.offsets[last, 1]) for _, first, last in feature["labels"]]
    assert spans == [(entity.start, entity.end) for entity in entities]
    half = feature["labels"][0]
    assert half[2] > half[1]


def test_chinese_characters_are_tokens_and_words(wordpiece: PreTrainedTokenizerBase) -> None:
    text = "他在北京大学读书"
    entities = (entity_of(text, "北京大学"), entity_of(text, "北京", "place"))
    for word_aligned in (False, True):
        (feature,), report = encode_examples([Example(text, entities)], wordpiece, IDS, 30, word_aligned=word_aligned)
        assert sorted(feature["labels"]) == [[0, 3, 6], [1, 3, 4]]
        assert report.unaligned == []


def test_spans_are_sought_in_the_windows_that_reach_them(char_tokenizer: PreTrainedTokenizerFast) -> None:
    """In all windows of a text, alignment would take time by the square of its length."""
    windows = windows_of(char_tokenizer, ["abcdefghij"], 6, 1)
    finder = _SpanFinder(windows, None)
    assert [window.offsets[1:-1, 0].tolist() for window in windows] == [[0, 1, 2, 3], [3, 4, 5, 6], [6, 7, 8, 9]]
    spans = [(0, 2), (3, 4), (3, 5), (4, 6), (2, 5), (6, 7), (9, 10)]
    sought = [list(finder._windows_around(Entity(start, end, "person"))) for start, end in spans]
    assert sought == [[0], [0, 1], [1], [1], [], [1, 2], [2]]


def test_many_texts_are_the_same_as_one_by_one(wordpiece: PreTrainedTokenizerBase) -> None:
    texts = ["\u0301a", "Jose", "\u0301 Jose\u0301", "", " ", "b\u0301 ", "x" * 50, "cat"] * 150
    together = windows_of(wordpiece, texts, 12)
    single = [(sample, window) for sample, text in enumerate(texts) for window in windows_of(wordpiece, [text], 12)]
    assert len(together) == len(single)
    for ours, (sample, alone) in zip(together, single, strict=True):
        assert ours.sample == sample
        assert str(ours.inputs) == str(alone.inputs)
        assert ours.offsets.tolist() == alone.offsets.tolist()
        assert ours.span_token_mask.tolist() == alone.span_token_mask.tolist()
