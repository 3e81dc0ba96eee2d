"""What characters are, and where, by them, words begin and end."""

import re
import sys
import unicodedata
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from .scripts import is_among, is_unspaced


# Vowels and finals of Hangul that is not composed, which follow the first letter of their syllable.
_HANGUL_LATER = ((0x1160, 0x11FF), (0xD7B0, 0xD7FF))

# A sentence ends after its stop and what closes with it, where whitespace follows (as after abbreviations too) or the
# script has no spaces; a line, before the whitespace that holds its break. What is looked for begins where whitespace
# does, or a long run of it would be gone through again from each of its characters.
_SENTENCE_END = re.compile(
    r"""[.!?\u2026\u061f\u06d4\u0964][)\]"'\u201d\u2019\u00bb]*(?=\s)|[\u3002\uff01\uff1f\uff61][\u201d\u2019\u300d\u300f\uff09]*"""
)
_LINE_END = re.compile(r"(?<!\s)\s*[\n\r\u2028\u2029]")

# What a character can be; LETTER is what a word goes on from.
WHITESPACE, MARK, LETTER, JOINER, CAPITAL, SMALL = 1, 2, 4, 8, 16, 32
_KNOWN = 64
# What each code point is, filled in as characters are met.
_kinds = np.zeros(sys.maxunicode + 1, dtype=np.uint8)


def character_kinds(text: str) -> NDArray[np.uint8]:
    """What each character of a text is: `(len(text),)`, a sum of `WHITESPACE`, `MARK`, ..., `SMALL`."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    kinds = _kinds.take(codes)
    if kinds.size and not kinds.min():
        for code in set(codes[kinds == 0].tolist()):
            _kinds[code] = _kind(chr(code))
        kinds = _kinds.take(codes)
    return kinds


def word_boundaries(text: str, words: Iterable[tuple[int, int]] | None = None) -> NDArray[np.bool_]:
    """Where spans of words may begin and end: bool `(len(text) + 1,)`, or `(2, len(text) + 1)` for given words.

    Given words may have something other than whitespace between them, so that where one ends no span may begin.

    Args:
        text (`str`): The text.
        words (`Iterable[tuple[int, int]]`, *optional*):
            Start and end of each word, in characters. Without them, a word goes on from a letter, digit, mark or
            underscore to the next; ideographs, kana and other characters of scripts without spaces are words each,
            with the marks that follow.
    """
    if words is None:
        return boundaries_of_kinds(character_kinds(text))
    bounds = np.zeros((2, len(text) + 1), dtype=bool)
    for row, edges in zip(bounds, zip(*words, strict=True), strict=False):
        row[list(edges)] = True
    return bounds


def boundaries_of_kinds(kinds: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """[`word_boundaries`] of a text of characters `(n,)` of these kinds: `(n + 1,)`."""
    letter, mark = kinds & LETTER != 0, kinds & MARK != 0
    in_word = letter
    if mark.any():
        # A mark is what it stands on.
        base = np.maximum.accumulate(np.where(mark, -1, np.arange(len(kinds))))
        in_word = np.append(letter, False)[base]
    joiner = kinds & JOINER != 0
    if joiner.any():
        # Joiners stand between letters of one word in Persian and the scripts of India.
        in_word[1:-1] |= joiner[1:-1] & in_word[:-2] & letter[2:]
    boundaries = np.ones(len(kinds) + 1, dtype=bool)
    boundaries[1:-1] = ~((in_word[:-1] & in_word[1:]) | (mark[1:] & (kinds[:-1] & WHITESPACE == 0)))
    return boundaries


def sentence_ends(text: str) -> NDArray[np.bool_]:
    """Where sentences and lines end, and may seem to: bool `(len(text) + 1,)`."""
    ends = np.zeros(len(text) + 1, dtype=bool)
    ends[[match.end() for match in _SENTENCE_END.finditer(text)]] = True
    ends[[match.start() for match in _LINE_END.finditer(text)]] = True
    return ends


def _kind(character: str) -> int:
    letter = (character.isalnum() or character == "_") and not is_unspaced(character)
    category = unicodedata.category(character)
    kinds = {
        WHITESPACE: character.isspace(),
        MARK: category.startswith("M") or is_among(character, _HANGUL_LATER),
        LETTER: letter,
        JOINER: character in "\u200c\u200d",
        CAPITAL: category in ("Lu", "Lt"),
        SMALL: category == "Ll",
    }
    return _KNOWN | sum(kind for kind, is_such in kinds.items() if is_such)
