"""Text to token windows that fit an encoder, with the character span of every token."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase


_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
# Code points, first and last, of scripts without blanks between words: Thai and Lao, Myanmar, Khmer, kana, Han.
SCRIPTS_WITHOUT_BLANKS = (
    (0x0E00, 0x0EFF),
    (0x1000, 0x109F),
    (0x1780, 0x17FF),
    (0x3005, 0x3007),
    (0x3040, 0x30FF),
    (0x31F0, 0x31FF),
    (0x3400, 0x9FFF),
    (0xF900, 0xFAFF),
    (0xFF66, 0xFF9F),
    (0x1AFF0, 0x1B16F),
    (0x20000, 0x3FFFF),
)
# Vowels and finals of Hangul that is not composed, which follow the first letter of their syllable.
_HANGUL_LATER = ((0x1160, 0x11FF), (0xD7B0, 0xD7FF))
# Tokenizers without a limit say so with a huge number.
_NO_LIMIT = 1_000_000


@dataclass(frozen=True, slots=True)
class TokenWindow:
    """A stretch of one text as an encoder sees it.

    Args:
        sample (`int`): The position of the text in the batch that was tokenised.
        inputs (`dict[str, list[int]]`): What the tokenizer returns for the encoder: `input_ids`, `attention_mask`, ...
        offsets (`np.ndarray` of shape `(n, 2)`): Start and end of each token in characters, see [`tidy_offsets`].
        span_token_mask (`np.ndarray` of shape `(n,)` or `(2, n)`): 1 for tokens that may begin or end a span: those
            that are not special and stand for more than blanks. Where words are given, those that may begin one, and
            those that may end one.
    """

    sample: int
    inputs: dict[str, list[int]]
    offsets: NDArray[np.int64]
    span_token_mask: NDArray[np.int64]


def max_tokens(tokenizer: PreTrainedTokenizerBase, max_positions: int | None = None) -> int:
    """The most tokens, special ones included, that the tokenizer and, where given, the positions of an encoder allow.

    Raises:
        ValueError: If nothing states a limit.
    """
    limit: int = tokenizer.model_max_length
    if max_positions is not None:
        limit = min(limit, max_positions)
    if limit >= _NO_LIMIT:
        raise ValueError("Nothing limits the number of tokens of an input; set `tokenizer.model_max_length`.")
    return limit


def token_windows(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    max_length: int,
    stride: int | None = None,
    boundaries: Sequence[NDArray[np.bool_]] | None = None,
) -> list[TokenWindow]:
    """Tokenise texts into windows of at most `max_length` tokens; what does not fit goes on in the next window.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): A fast tokenizer.
        texts (`Sequence[str]`): The texts.
        max_length (`int`): The length of a window in tokens, special ones included.
        stride (`int`, *optional*, defaults to a quarter of `max_length`): The tokens that neighbouring windows share.
        boundaries (`Sequence[np.ndarray]`, *optional*):
            For each text, as of [`word_boundaries`], where spans may begin and end.

    Returns:
        `list[TokenWindow]`: The windows of the first text in order, then those of the second, and so on; at least one
        for each text.

    Raises:
        ValueError: If the tokenizer is not a fast one, or special tokens or the stride leave no room in a window.
    """
    if not tokenizer.is_fast:
        raise ValueError(f"{type(tokenizer).__name__} gives no character offsets; use a fast tokenizer.")
    room = max_length - tokenizer.num_special_tokens_to_add()
    if room < 1:
        raise ValueError(f"Windows of {max_length} tokens leave no room beside the special ones; raise `max_length`.")
    stride = min(max_length // 4, room - 1) if stride is None else stride
    if not 0 <= stride < room:
        raise ValueError(f"`stride` must be in 0..{room - 1} for windows of {max_length} tokens, got {stride}.")
    batch = tokenizer(
        # The tokenizers cannot take lone surrogates; the replacement character keeps every offset.
        [text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text) for text in texts],
        max_length=max_length,
        stride=stride,
        truncation=True,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
    )
    samples: list[int] = batch.pop("overflow_to_sample_mapping")
    pairs: list[list[tuple[int, int]]] = batch.pop("offset_mapping")
    lengths = [len(window) for window in pairs]
    # All texts as one, a character apart, since arrays of a few tokens cost as much as one of thousands.
    begins = np.cumsum([0, *(len(text) + 1 for text in texts[:-1])])
    begin = np.repeat(begins[samples], lengths)[:, None]
    offsets = tidy_offsets(
        "\0".join(texts), _flat(chain.from_iterable(pairs), 2 * sum(lengths)).reshape(-1, 2) + begin
    )
    mask = (_flat(batch.pop("special_tokens_mask"), sum(lengths)) == 0) & (offsets[:, 0] < offsets[:, 1])
    if boundaries is not None:
        bounds = np.concatenate([np.broadcast_to(each, (2, each.shape[-1])) for each in boundaries], axis=1)
        mask = mask & np.take_along_axis(bounds, offsets.T, axis=1)
    offsets, mask = offsets - begin, mask.astype(np.int64)
    ends = np.cumsum(lengths).tolist()
    names, columns = zip(*batch.items(), strict=True)
    windows = []
    for sample, length, end, values in zip(samples, lengths, ends, zip(*columns, strict=True), strict=True):
        part = slice(end - length, end)
        inputs = dict(zip(names, values, strict=True))
        windows.append(TokenWindow(sample, inputs, offsets[part], mask[..., part]))
    return windows


def _flat(lists: Iterable[Iterable[int]], count: int) -> NDArray[np.int64]:
    """The `count` integers of many lists in one array `(count,)`."""
    return np.fromiter(chain.from_iterable(lists), np.int64, count)


def tidy_offsets(text: str, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Make token spans `(n, 2)` bound words: without blanks at either end, with the marks that follow.

    Some tokenizers count in the blank before a word. Some drop combining marks, as BERT's does with the accents of
    decomposed text; a mark that no token covers belongs to the token before it.
    """
    position = np.arange(len(text) + 1)
    blank = _each(text, str.isspace)
    mark = _each(text, _is_mark)
    start, end = offsets.T
    if blank.any():
        # For each position, the first one from there on, and the last one up to there, that borders no blank.
        next_word = _first_from(position, ~np.append(blank, False))
        last_word = np.maximum.accumulate(np.where(np.insert(blank, 0, False), 0, position))
        start = np.minimum(next_word[start], end)
        end = np.maximum(last_word[end], start)
    if mark.any():
        covered = np.bincount(start, minlength=len(position)) - np.bincount(end, minlength=len(position))
        dropped = np.append(mark & (covered.cumsum()[:-1] == 0), False)
        end = np.where(start < end, _first_from(position, ~dropped)[end], end)
    return np.stack([start, end], axis=1)


def word_boundaries(text: str, words: Iterable[tuple[int, int]] | None = None) -> NDArray[np.bool_]:
    """Where spans of words may begin and end: bool `(len(text) + 1,)`, or `(2, len(text) + 1)` for given words.

    Given words may have something other than blanks between them, so that where one ends no span may begin.

    Args:
        text (`str`): The text.
        words (`Iterable[tuple[int, int]]`, *optional*):
            Start and end of each word, in characters. Without them, a word goes on from a letter, digit, mark or
            underscore to the next; ideographs, kana and other characters of scripts without blanks are words each,
            with the marks that follow.
    """
    if words is not None:
        bounds = np.zeros((2, len(text) + 1), dtype=bool)
        for row, edges in zip(bounds, zip(*words, strict=True), strict=False):
            row[list(edges)] = True
        return bounds
    letter, mark, blank, joiner = (
        _each(text, is_such) for is_such in (_goes_on, _is_mark, str.isspace, "\u200c\u200d".__contains__)
    )
    # A mark is what it stands on.
    base = np.maximum.accumulate(np.where(mark, -1, np.arange(len(text))))
    in_word = np.append(letter, False)[base]
    # Joiners stand between letters of one word in Persian and the scripts of India.
    in_word[1:-1] |= joiner[1:-1] & in_word[:-2] & letter[2:]
    boundaries = np.ones(len(text) + 1, dtype=bool)
    boundaries[1:-1] = ~((in_word[:-1] & in_word[1:]) | (mark[1:] & ~blank[:-1]))
    return boundaries


def words_boundaries(texts: Sequence[str]) -> list[NDArray[np.bool_]]:
    """[`word_boundaries`] of each of many texts, found at once."""
    # Blanks between them keep them apart.
    boundaries = word_boundaries("\n".join(texts))
    begins = np.cumsum([0, *(len(text) + 1 for text in texts[:-1])]).tolist()
    return [boundaries[begin : begin + len(text) + 1] for begin, text in zip(begins, texts, strict=True)]


@cache
def _goes_on(character: str) -> bool:
    """Whether a word goes on from such a character to the next."""
    return (character.isalnum() or character == "_") and not needs_no_blanks(character)


@cache
def needs_no_blanks(character: str) -> bool:
    """Whether a character is of a script without blanks between words."""
    return _is_among(character, SCRIPTS_WITHOUT_BLANKS)


@cache
def _is_mark(character: str) -> bool:
    """Whether such a character stands on the one before it."""
    return unicodedata.category(character).startswith("M") or _is_among(character, _HANGUL_LATER)


def _is_among(character: str, ranges: Iterable[tuple[int, int]]) -> bool:
    return any(first <= ord(character) <= last for first, last in ranges)


def _each(text: str, is_such: Callable[[str], bool]) -> NDArray[np.bool_]:
    """Whether each character of a text is such a one: bool `(len(text),)`; each distinct one is looked at once."""
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    table = np.zeros(int(codes.max(initial=0)) + 1, dtype=bool)
    table[codes] = True
    for code in table.nonzero()[0].tolist():
        table[code] = is_such(chr(code))
    return table[codes]


def _first_from(position: NDArray[np.int64], wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each position, the first one from there on that is wanted; the last one always is."""
    return np.minimum.accumulate(np.where(wanted, position, len(position))[::-1])[::-1]
