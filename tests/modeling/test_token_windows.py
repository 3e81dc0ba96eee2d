import re
import unicodedata
from itertools import pairwise
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerBase, PreTrainedTokenizerFast

from conftest import any_text, make_char_tokenizer, windows_of
from hf_globalpointer.modeling import token_windows as module
from hf_globalpointer.modeling.token_windows import owned_sums, trim_offsets, window_bounds
from hf_globalpointer.modeling.words import character_kinds, word_boundaries


CHAR_TOKENIZER = make_char_tokenizer()
TOKENIZERS = ["wordpiece", "byte_level", "unigram", "char_tokenizer", "ends"]
# What tokenizers have ways of their own with.
STRETCHES = [
    *["the cat ", "sat near, ", "other ", "unknowable ", "1234567 ", "cats'", "a" * 30, "ab" * 20],
    *[
        "  ",
        "\n\n",
        " " * 30,
        "北京大学",
        "北京 ",
        "e\u0301",
        "\u0301",
        "ﬁ",
        "½",
        "😀",
        "\x00",
        "\ud800",
        "[SEP]",
        "</s>",
    ],
]
stretches = st.lists(st.sampled_from(STRETCHES), max_size=40).map("".join)


@pytest.fixture(scope="module")
def ends() -> PreTrainedTokenizerBase:
    """A tokenizer that puts its special tokens after the others, with token types of their own."""
    tokenizer = make_char_tokenizer()
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="$A:0 [SEP]:2 [CLS]:3", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    return tokenizer


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(stretches | any_text, min_size=1, max_size=4),
    which=st.sampled_from(TOKENIZERS),
    max_length=st.integers(6, 60),
    data=st.data(),
)
def test_windows_are_stretches_of_the_tokenizers_own_tokens(
    request: pytest.FixtureRequest, texts: list[str], which: str, max_length: int, data: st.DataObject
) -> None:
    tokenizer = request.getfixturevalue(which)
    stride = data.draw(st.integers(0, max_length - 3))
    bounds: list[list[tuple[int, int]]] = []

    def placed(*arguments: Any) -> list[tuple[int, int]]:
        bounds.append(window_bounds(*arguments))
        return bounds[-1]

    with patch.object(module, "window_bounds", placed):
        windows = windows_of(tokenizer, texts, max_length, stride)
    whole = tokenizer(
        [re.sub("[\ud800-\udfff]", "\ufffd", text) for text in texts],
        return_offsets_mapping=True,
        verbose=False,
    )
    special = len(tokenizer("")["input_ids"])
    before = 0 if which == "ends" else special - special // 2
    expected = []
    for sample, ids in enumerate(whole["input_ids"]):
        length = len(ids) - special
        for begin, end in bounds.pop(0) if len(ids) > max_length else [(0, length)]:
            places = [*range(before), *range(before + begin, before + end), *range(before + length, len(ids))]
            expected.append((sample, places))
    assert not bounds
    assert [window.sample for window in windows] == [sample for sample, _ in expected]
    for window, (sample, places) in zip(windows, expected, strict=True):
        assert {*window.inputs} == {*whole} - {"offset_mapping"}
        for name, row in window.inputs.items():
            assert row.tolist() == [whole[name][sample][place] for place in places], name
        offsets = np.array(whole["offset_mapping"][sample], dtype=np.int64).reshape(-1, 2)
        tidy = trim_offsets(character_kinds(texts[sample]), offsets)
        assert window.offsets.tolist() == tidy[places].tolist()


@settings(max_examples=300)
@given(st.integers(1, 60), st.integers(1, 20), st.data())
def test_windows_end_at_sentences_and_cut_nothing_as_long_as_the_stride(
    length: int, room: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(0, room - 1))
    places = st.sets(st.integers(1, max(1, length - 1)))
    sentences, others = data.draw(places), data.draw(places)
    words = sentences | others
    windows = window_bounds(length, room, stride, sorted(sentences), sorted(words))
    assert windows[0][0] == 0
    assert windows[-1][1] == length
    for (begin, end), (following, beyond) in pairwise(windows):
        assert begin < following <= end - stride
        assert end < beyond
    for index, (begin, end) in enumerate(windows):
        assert 0 < end - begin <= room
        if index == len(windows) - 1:
            continue
        before = windows[index - 1][1] if index else 0
        possible = range(max(begin + room // 2, begin + stride, before) + 1, begin + room + 1)
        wanted = next(places & set(possible) for places in (sentences, words, set(possible)) if places & set(possible))
        assert end == max(wanted)
    for start in range(length - stride + 1):
        assert not stride or any(begin <= start and start + stride <= end for begin, end in windows)


@given(text=st.text("ab. \n", max_size=40), max_length=st.integers(4, 12), data=st.data())
def test_a_span_belongs_to_the_window_in_whose_middle_it_lies(text: str, max_length: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(0, max_length - 3))
    windows = windows_of(CHAR_TOKENIZER, [text], max_length, stride)
    # The first token of each window in the text, by its characters, which are tokens each.
    starts = [index for index, letter in enumerate(text) if not letter.isspace()]
    begins = [starts.index(window.offsets[1, 0]) if starts else 0 for window in windows]
    ends = [begin + len(window.offsets) - 2 for begin, window in zip(begins, windows, strict=True)]
    for i in range(len(starts)):
        for j in range(i, len(starts)):
            margins = {
                index: min(i - begin if index else 99, end - 1 - j if index < len(windows) - 1 else 99)
                for index, (begin, end) in enumerate(zip(begins, ends, strict=True))
                if begin <= i and j < end
            }
            owners = [
                index
                for index, window in enumerate(windows)
                if window.sums[0] <= i + j - 2 * begins[index] + 2 < window.sums[1]
            ]
            assert len(owners) == 1
            assert not margins or margins[owners[0]] == max(margins.values())


@pytest.mark.parametrize("which", TOKENIZERS)
def test_windows_that_nothing_ends_early_are_those_of_the_stock_overflow(
    request: pytest.FixtureRequest, which: str
) -> None:
    tokenizer = request.getfixturevalue(which)
    # One word, so that every window is full.
    text = "the" * 60_000 if which != "wordpiece" else "the " * 60_000
    with patch.object(module, "sentence_ends", lambda text: np.zeros(len(text) + 1, bool)):
        windows = windows_of(tokenizer, ["ab", text], 512, 128)[1:]
    stock = tokenizer(text, truncation=True, max_length=512, stride=128, return_overflowing_tokens=True)
    for name in windows[0].inputs:
        assert [window.inputs[name].tolist() for window in windows] == stock[name]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    texts=st.lists(stretches | any_text, max_size=12),
    which=st.sampled_from(TOKENIZERS),
    size=st.sampled_from([1, 40, 100]),
)
def test_batches_give_the_same_in_the_same_order(
    request: pytest.FixtureRequest, texts: list[str], which: str, size: int
) -> None:
    tokenizer = request.getfixturevalue(which)
    together = windows_of(tokenizer, texts, 12)
    with patch.object(module, "_BATCH_CHARACTERS", size):
        lists = list(module.token_windows(tokenizer, texts, 12, 3))
    assert size > 1 or len(lists) >= sum(map(bool, texts))
    assert str([window for some in lists for window in some]) == str(together)


def test_settings_left_in_the_tokenizer_do_not_matter(char_tokenizer: PreTrainedTokenizerFast) -> None:
    texts = ["abcdefgh", "a", ""]
    wanted = windows_of(char_tokenizer, texts, 40)
    char_tokenizer.backend_tokenizer.enable_truncation(4)
    char_tokenizer.backend_tokenizer.enable_padding(length=30)
    assert str(windows_of(char_tokenizer, texts, 40)) == str(wanted)


def test_what_a_tokenizer_raises_comes_out_after_what_went_before() -> None:
    tokenizer = Tokenizer(models.WordLevel({"a": 0}, unk_token="none"))
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    with patch.object(module, "_BATCH_CHARACTERS", 1):
        windows = module.token_windows(fast, ["a"] * 4 + ["b"] + ["a"] * 9, 4, 1)
        seen: list[int] = []
        with pytest.raises(Exception, match="Missing \\[UNK\\] token"):
            seen.extend(window.sample for some in windows for window in some)
    assert seen == [0, 1, 2, 3]


def test_placement_by_hand() -> None:
    """The examples of the docstrings."""
    bounds = window_bounds(20, 8, 2, sentences=[6], words=[1, 2, 4, 6, 7, 8, 11, 14, 16, 18])
    assert bounds == [(0, 6), (4, 11), (8, 16), (14, 20)]
    assert owned_sums([(0, 8), (4, 12)]) == [(-1, 12), (12, 2**31 - 1)]


def test_word_pieces_bound_spans_only_where_words_do(wordpiece: PreTrainedTokenizerBase) -> None:
    text = "Angela Merkel's"
    (window,) = windows_of(wordpiece, [text], 16, word_aligned=True)
    tokens = wordpiece.convert_ids_to_tokens(window.inputs["input_ids"])
    assert tokens == ["[CLS]", "angela", "mer", "##kel", "'", "s", "[SEP]"]
    assert window.span_token_mask.tolist() == [[0, 1, 1, 0, 1, 1, 0], [0, 1, 0, 1, 1, 1, 0]]


def test_boundaries_are_those_of_each_text_in_all_its_windows() -> None:
    texts = ["ab cd ef", "", "gh"]
    words = [[(0, 8)], [], [(0, 1), (1, 2)]]
    windows = windows_of(CHAR_TOKENIZER, texts, 6, 1, word_aligned=True, words=words)
    assert [(window.sample, window.span_token_mask.tolist()) for window in windows] == [
        (0, [[0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]]),
        (0, [[0, 0, 0, 0, 0], [0, 0, 0, 1, 0]]),
        (1, [[0, 0], [0, 0]]),
        (2, [[0, 1, 1, 0], [0, 1, 1, 0]]),
    ]


@given(some=st.lists(any_text, min_size=1, max_size=4), max_length=st.integers(4, 9), data=st.data())
def test_boundaries_change_the_mask_alone(some: list[str], max_length: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(0, max_length - 3))
    plain = windows_of(CHAR_TOKENIZER, some, max_length, stride)
    aligned = windows_of(CHAR_TOKENIZER, some, max_length, stride, word_aligned=True)
    assert [window.sample for window in plain] == sorted(window.sample for window in plain)
    assert {window.sample for window in plain} == set(range(len(some)))
    for a, b in zip(plain, aligned, strict=True):
        assert (a.sample, a.offsets.tolist()) == (b.sample, b.offsets.tolist())
        assert str(a.inputs) == str(b.inputs)
        edges = word_boundaries(some[a.sample])[a.offsets].T
        assert b.span_token_mask.tolist() == (a.span_token_mask * edges).tolist()


@given(text=st.text("ab \u0301\u0323", max_size=12), data=st.data())
def test_a_token_takes_in_the_marks_that_no_token_covers(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=8)))
    spans = [pair for pair in pairwise(cuts) if data.draw(st.booleans())]
    tidy = trim_offsets(character_kinds(text), np.array(spans, dtype=np.int64).reshape(-1, 2)).tolist()
    covered = {position for start, end in tidy for position in range(start, end)}
    raw = {position for span in spans for position in range(*span)}
    for (start, end), (_, raw_end) in zip(tidy, spans, strict=True):
        taken = text[max(raw_end, start) : end]
        assert all(unicodedata.category(character).startswith("M") for character in taken)
        assert raw.isdisjoint(range(raw_end, end))
        if start < end < len(text) and unicodedata.category(text[end]).startswith("M"):
            assert end in covered


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("کتاب\u200c خوب", id="non-joiner-after-a-word"),
        pytest.param("\u200cAda left", id="non-joiner-before-a-word"),
        pytest.param("नी\u200d है", id="joiner-after-a-word"),
        pytest.param("\u0301Ada left", id="mark-before-a-word"),
    ],
)
def test_what_the_tokenizer_drops_at_the_edge_of_a_word_does_not_hide_it(
    wordpiece: PreTrainedTokenizerBase, text: str
) -> None:
    (window,) = windows_of(wordpiece, [text], 32, word_aligned=True)
    # Each of the two words has a token that begins it and one that ends it.
    assert window.span_token_mask.sum(axis=1).tolist() == [2, 2]


def test_a_composed_syllable_covers_all_its_letters() -> None:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "한": 1}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")
    (window,) = windows_of(fast, ["\u1112\u1161\u11ab x"], 8)
    assert window.offsets.tolist() == [[0, 3], [4, 5]]


def test_tokens_that_begin_with_a_capital_are_marked(wordpiece: PreTrainedTokenizerBase) -> None:
    texts = ["Angela MerKel met Merkel of IBM.", "", "WHO SAYS SO", "a Ǆ", "Élan e\u0301", ""]
    windows = windows_of(wordpiece, texts, 16, mark_capitals=True)
    marked = [
        [
            token
            for token, mark in zip(
                wordpiece.convert_ids_to_tokens(window.inputs["input_ids"]),
                window.inputs["token_type_ids"],
                strict=True,
            )
            if mark
        ]
        for window in windows
    ]
    # Pieces go by their own first letter; what is all in capitals, and what is special, is not marked.
    assert marked[0] == ["angela", "mer", "##kel", "mer", "ibm"]
    assert [windows[number].sample for number in range(6)] == list(range(6))
    assert (marked[1], marked[2], marked[5]) == ([], [], [])
    assert len(marked[3]) == 1
    assert marked[4] == ["el"]


@given(some=st.lists(any_text | st.text("aA b\n", max_size=20), min_size=1, max_size=4), data=st.data())
def test_marks_of_capitals_are_those_of_each_text_in_all_its_windows(some: list[str], data: st.DataObject) -> None:
    max_length = data.draw(st.integers(4, 9))
    plain = windows_of(CHAR_TOKENIZER, some, max_length, 1)
    marked = windows_of(CHAR_TOKENIZER, some, max_length, 1, mark_capitals=True)
    for a, b in zip(plain, marked, strict=True):
        text = some[b.sample]
        has_small = any(unicodedata.category(character) == "Ll" for character in text)
        expected = [
            int(has_small and start < end and unicodedata.category(text[start]) in ("Lu", "Lt"))
            for start, end in b.offsets.tolist()
        ]
        assert b.inputs["token_type_ids"].tolist() == expected
        assert a.inputs["input_ids"].tolist() == b.inputs["input_ids"].tolist()
        assert (a.sample, a.offsets.tolist(), a.sums) == (b.sample, b.offsets.tolist(), b.sums)
