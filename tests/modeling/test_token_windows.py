import unicodedata
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from transformers import AutoTokenizer, PreTrainedTokenizerBase, PreTrainedTokenizerFast

from conftest import make_char_tokenizer
from hf_globalpointer.modeling.token_windows import tidy_offsets, token_windows, word_boundaries


CHAR_TOKENIZER = make_char_tokenizer()
any_text = st.text(st.sampled_from("ab1_ '.-\t\u0301\u200c東あ") | st.characters(exclude_categories=()), max_size=20)


@pytest.fixture(scope="module")
def wordpiece(minilm: str) -> PreTrainedTokenizerBase:
    return AutoTokenizer.from_pretrained(minilm)


def words_of(text: str) -> list[str]:
    """What lies between neighbouring boundaries, without blanks."""
    edges = word_boundaries(text).nonzero()[0].tolist()
    pieces = [text[start:end] for start, end in pairwise(edges)]
    return [piece for piece in pieces if not piece.isspace()]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        pytest.param("", [], id="nothing"),
        pytest.param(" \t\n", [], id="blanks"),
        pytest.param("Ada met Bob.", ["Ada", "met", "Bob", "."], id="english"),
        pytest.param("  Ada  met ", ["Ada", "met"], id="more-blanks"),
        pytest.param("(U.S.-based)", ["(", "U", ".", "S", ".", "-", "based", ")"], id="punctuation"),
        pytest.param("don't, O\u2019Neill", ["don", "'", "t", ",", "O", "\u2019", "Neill"], id="apostrophes"),
        pytest.param("snake_case __init__", ["snake_case", "__init__"], id="underscores"),
        pytest.param("B2B 3.14 1,000 x²", ["B2B", "3", ".", "14", "1", ",", "000", "x²"], id="digits"),
        pytest.param("Grüße aus Köln", ["Grüße", "aus", "Köln"], id="umlauts"),
        pytest.param("Gru\u0308ße aus Ko\u0308ln", ["Gru\u0308ße", "aus", "Ko\u0308ln"], id="umlauts-decomposed"),
        pytest.param("a\u0323\u0301\u035cb c", ["a\u0323\u0301\u035cb", "c"], id="many-marks"),
        pytest.param("می\u200cروم خانه", ["می\u200cروم", "خانه"], id="persian-non-joiner"),
        pytest.param("مُحَمَّد، سلام", ["مُحَمَّد", "،", "سلام"], id="arabic-vowels"),
        pytest.param("שָׁלוֹם עולם", ["שָׁלוֹם", "עולם"], id="hebrew-points"),
        pytest.param("क्‍ष हिन्दी में", ["क्‍ष", "हिन्दी", "में"], id="devanagari-joiner"),
        pytest.param("我爱北京。", ["我", "爱", "北", "京", "。"], id="chinese"),
        pytest.param("𠮷野家々\u3007", ["𠮷", "野", "家", "々", "\u3007"], id="rare-ideographs"),
        pytest.param("iPhone手机3个", ["iPhone", "手", "机", "3", "个"], id="chinese-and-latin"),
        pytest.param("東京へいくカー", ["東", "京", "へ", "い", "く", "カ", "ー"], id="japanese"),
        pytest.param("서울에서 만났다", ["서울에서", "만났다"], id="korean"),
        pytest.param(
            "\u1109\u1165\u11af \u1100\u1161", ["\u1109\u1165\u11af", "\u1100\u1161"], id="korean-decomposed"
        ),
        pytest.param("1\ufe0f\u20e3 b", ["1\ufe0f\u20e3", "b"], id="keycap"),
        pytest.param("นครABC", ["น", "ค", "ร", "ABC"], id="thai"),
        pytest.param("ok❤\ufe0fgo", ["ok", "❤\ufe0f", "go"], id="mark-after-a-symbol"),
        pytest.param("葛\U000e0100abc", ["葛\U000e0100", "abc"], id="mark-after-an-ideograph"),
        pytest.param("ok👍go 👍👎", ["ok", "👍", "go", "👍", "👎"], id="emoji"),
        pytest.param("\uff21\uff22\uff0c\uff11", ["\uff21\uff22", "\uff0c", "\uff11"], id="full-width"),
        pytest.param("a\u200bb\xa0c\u3000d", ["a", "\u200b", "b", "c", "d"], id="odd-blanks"),
        pytest.param("a\x00b\ud83dc", ["a", "\x00", "b", "\ud83d", "c"], id="control-and-surrogate"),
    ],
)
def test_words(text: str, words: list[str]) -> None:
    assert words_of(text) == words


@pytest.mark.parametrize("text", ["\uff76\uff80\uff76\uff85", "\U0001b001\U0001b002"])
def test_all_kana_are_words_each(text: str) -> None:
    assert words_of(text) == list(text)


@pytest.mark.parametrize("word", ["か\u3099", "ท\u0e35\u0e48", "\u2764\ufe0f", "葛\U000e0100", "က\u102d"])
def test_no_word_begins_at_a_mark(word: str) -> None:
    assert words_of(f"a {word} b") == ["a", word, "b"]


@pytest.mark.parametrize(
    "words",
    [["ok", "\u2764\ufe0f", "go"], ["葛\U000e0100", "abc"], [".\u0301", "a"]],
    ids=["emoji", "ideograph", "stop"],
)
def test_a_mark_joins_no_word_to_what_it_stands_on(words: list[str]) -> None:
    assert words_of("".join(words)) == words


@given(any_text)
def test_blanks_part_words_and_both_ends_are_boundaries(text: str) -> None:
    boundaries = word_boundaries(text)
    assert boundaries.dtype == bool
    assert boundaries.shape == (len(text) + 1,)
    assert boundaries[0]
    assert boundaries[-1]
    for position in range(1, len(text)):
        before, after = text[position - 1], text[position]
        if before.isspace() or after.isspace():
            assert boundaries[position]
        if before.isascii() and after.isascii():
            assert boundaries[position] == (not ((before + after).replace("_", "a").isalnum()))


def test_given_words_are_the_boundaries() -> None:
    text = "New York is big"
    words = [(0, 8), (9, 11), (12, 15)]
    for some in (words, iter(words)):
        begins, ends = word_boundaries(text, some)
        assert begins.nonzero()[0].tolist() == [0, 9, 12]
        assert ends.nonzero()[0].tolist() == [8, 11, 15]
    assert word_boundaries("ab", []).tolist() == [[False] * 3] * 2
    assert word_boundaries("", [(0, 0), (0, 0)]).tolist() == [[True]] * 2
    assert word_boundaries("", []).tolist() == [[False]] * 2


def test_word_pieces_bound_spans_only_where_words_do(wordpiece: PreTrainedTokenizerBase) -> None:
    text = "Angela Merkel's"
    (window,) = token_windows(wordpiece, [text], 16, boundaries=[word_boundaries(text)])
    tokens = wordpiece.convert_ids_to_tokens(window.inputs["input_ids"])
    assert tokens == ["[CLS]", "angela", "mer", "##kel", "'", "s", "[SEP]"]
    assert window.span_token_mask.dtype == np.int64
    assert window.span_token_mask.tolist() == [[0, 1, 1, 0, 1, 1, 0], [0, 1, 0, 1, 1, 1, 0]]


def test_boundaries_are_those_of_each_text_in_all_its_windows() -> None:
    texts = ["ab cd ef", "", "gh"]
    words = [[(0, 8)], [], [(0, 1), (1, 2)]]
    boundaries = [word_boundaries(text, those) for text, those in zip(texts, words, strict=True)]
    windows = token_windows(CHAR_TOKENIZER, texts, 6, 1, boundaries)
    assert [(window.sample, window.span_token_mask.tolist()) for window in windows] == [
        (0, [[0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]]),
        (0, [[0, 0, 0, 0, 0], [0, 0, 0, 1, 0]]),
        (1, [[0, 0], [0, 0]]),
        (2, [[0, 1, 1, 0], [0, 1, 1, 0]]),
    ]


@settings(deadline=None)
@given(some=st.lists(any_text, min_size=1, max_size=4), max_length=st.integers(4, 9), data=st.data())
def test_boundaries_change_the_mask_alone(some: list[str], max_length: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(0, max_length - 3))
    boundaries = [word_boundaries(text) for text in some]
    plain = token_windows(CHAR_TOKENIZER, some, max_length, stride)
    aligned = token_windows(CHAR_TOKENIZER, some, max_length, stride, boundaries)
    assert [window.sample for window in plain] == sorted(window.sample for window in plain)
    assert {window.sample for window in plain} == set(range(len(some)))
    for a, b in zip(plain, aligned, strict=True):
        assert (a.sample, a.inputs, a.offsets.tolist()) == (b.sample, b.inputs, b.offsets.tolist())
        edges = boundaries[a.sample][a.offsets].T
        assert b.span_token_mask.tolist() == (a.span_token_mask * edges).tolist()


@settings(deadline=None)
@given(text=st.text("ab c", max_size=40), max_length=st.integers(4, 9), data=st.data())
def test_windows_hold_every_token_and_share_the_stride(text: str, max_length: int, data: st.DataObject) -> None:
    stride = data.draw(st.integers(0, max_length - 3))
    windows = token_windows(CHAR_TOKENIZER, [text], max_length, stride)
    assert all(len(window.inputs["input_ids"]) == max_length for window in windows[:-1])
    assert len(windows[-1].inputs["input_ids"]) <= max_length
    letters = [index for index, letter in enumerate(text) if letter != " "]
    seen: list[int] = []
    for index, window in enumerate(windows):
        starts = window.offsets[window.span_token_mask.astype(bool), 0].tolist()
        assert index == 0 or starts[:stride] == seen[len(seen) - stride :]
        seen += starts if index == 0 else starts[stride:]
    assert seen == letters


@given(text=st.text("ab \u0301\u0323", max_size=12), data=st.data())
def test_a_token_takes_in_the_marks_that_no_token_covers(text: str, data: st.DataObject) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(0, len(text)), max_size=8)))
    spans = [pair for pair in pairwise(cuts) if data.draw(st.booleans())]
    tidy = tidy_offsets(text, np.array(spans, dtype=np.int64).reshape(-1, 2)).tolist()
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
    (window,) = token_windows(wordpiece, [text], 32, boundaries=[word_boundaries(text)])
    # Each of the two words has a token that begins it and one that ends it.
    assert window.span_token_mask.sum(axis=1).tolist() == [2, 2]


def test_a_composed_syllable_covers_all_its_letters() -> None:
    tokenizer = Tokenizer(models.WordLevel({"[UNK]": 0, "한": 1}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")
    (window,) = token_windows(fast, ["\u1112\u1161\u11ab x"], 8)
    assert window.offsets.tolist() == [[0, 3], [4, 5]]
