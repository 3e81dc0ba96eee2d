from itertools import pairwise

import pytest
from hypothesis import given

from conftest import any_text
from hf_globalpointer.modeling.words import sentence_ends, word_boundaries


def words_of(text: str) -> list[str]:
    """What lies between neighboring boundaries, without spaces."""
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


def test_long_runs_of_whitespace_are_gone_through_once() -> None:
    """The square of this length would take minutes."""
    assert sentence_ends(" " * 1_000_000).sum() == 0
    assert sentence_ends("a" + " " * 1_000_000 + "\nb").nonzero()[0].tolist() == [1]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("One. Two! Three? Four", ["One.", " Two!", " Three?", " Four"]),
        (
            "He said \u201cgo.\u201d Then (so it is.) he went",
            ["He said \u201cgo.\u201d", " Then (so it is.)", " he went"],
        ),
        ("version 3.11 and a.b", ["version 3.11 and a.b"]),
        ("今天下雨。明天呢\uff1f好\uff01", ["今天下雨。", "明天呢\uff1f", "好\uff01"]),
        ("a line \n\nanother\r\nend", ["a line", " \n\nanother", "\r\nend"]),
    ],
)
def test_sentences_and_lines_end(text: str, sentences: list[str]) -> None:
    ends = [*sentence_ends(text).nonzero()[0].tolist(), len(text)]
    assert [text[begin:end] for begin, end in pairwise([0, *dict.fromkeys(ends)])] == sentences
