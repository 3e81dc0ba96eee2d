"""Text to token windows that fit an encoder, with the character span of every token."""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, groupby, repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding
from transformers import PreTrainedTokenizerBase

from .characters import BLANK, MARK, boundaries_of_kinds, character_kinds, word_boundaries


Integers = NDArray[np.int64]
_Bounds = NDArray[np.bool_]
# A text, and where spans of its words may begin and end, `(2, len(text) + 1)`, if words are given.
_Text = tuple[str, _Bounds | None]
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
# Tokenizers without a limit say so with a huge number.
_NO_LIMIT = 1_000_000
# Tokenizers take about a kilobyte a token while they work. So they get texts of this many characters at once, and long
# ones in pieces of this many.
_AT_ONCE, _PIECE = 262_144, 8_192
# Tokens are the columns of a table, whose rows are these: id, type, one, start and end in characters, whether a span
# may begin with it, whether one may end with it, and a number that changes where the tokenizer sees another word.
_Tokens = NDArray[np.int32]
_ID, _TYPE, _ONE, _START, _END, _BEGINS, _ENDS, _WORD = range(8)
_INPUTS = {"input_ids": _ID, "token_type_ids": _TYPE, "attention_mask": _ONE}


class TokenWindow(NamedTuple):
    """A stretch of one text as an encoder sees it.

    Args:
        sample (`int`): The position of the text in the batch that was tokenised.
        inputs (`dict[str, np.ndarray]`): What the encoder takes, each `(n,)`: `input_ids`, `attention_mask`, ...
        offsets (`np.ndarray` of shape `(n, 2)`): Start and end of each token in characters, see [`tidy_offsets`].
        span_token_mask (`np.ndarray` of shape `(n,)` or `(2, n)`): 1 for tokens that may begin or end a span: those
            that are not special and stand for more than blanks. Where spans keep to words, those that may begin one,
            and those that may end one.
    """

    sample: int
    inputs: dict[str, NDArray[np.int32]]
    offsets: NDArray[np.int32]
    span_token_mask: NDArray[np.int32]


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
    word_aligned: bool = False,
    words: Sequence[Sequence[tuple[int, int]] | None] | None = None,
) -> list[TokenWindow]:
    """Tokenise texts into windows, see [`windows_of_texts`].

    Returns:
        `list[TokenWindow]`: The windows of the first text in order, then those of the second, and so on; at least one
        for each text.
    """
    return list(chain.from_iterable(windows_of_texts(tokenizer, texts, max_length, stride, word_aligned, words)))


def windows_of_texts(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    max_length: int,
    stride: int | None = None,
    word_aligned: bool = False,
    words: Sequence[Sequence[tuple[int, int]] | None] | None = None,
) -> Iterator[list[TokenWindow]]:
    """Tokenise texts into windows of at most `max_length` tokens; what does not fit goes on in the next window.

    The tokens are those of the whole text, but where it has words, making them takes no more memory than for a short
    one: a long text is tokenised in pieces that overlap by an eighth, which are joined between two words on which both
    agree. Where they do not, as where there are no words in hundreds of characters, a longer piece is made, in the end
    the whole text. (A tokenizer would have to look hundreds of characters ahead to see other words in the whole.)

    Args:
        tokenizer (`PreTrainedTokenizerBase`): A fast tokenizer.
        texts (`Sequence[str]`): The texts.
        max_length (`int`): The length of a window in tokens, special ones included.
        stride (`int`, *optional*, defaults to a quarter of `max_length`): The tokens that neighbouring windows share.
        word_aligned (`bool`, *optional*, defaults to `False`): Whether spans begin and end only where words do.
        words (`Sequence`, *optional*):
            For each text, start and end of its words, or None for those of [`word_boundaries`].

    Yields:
        `list[TokenWindow]`: The windows of each text, one at least.

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
    bounds: Iterator[_Bounds | None] = repeat(None, len(texts))
    if word_aligned and words is not None:
        bounds = map(_bounds_of, texts, words)
    mask = slice(_BEGINS, _ENDS + 1) if word_aligned else _BEGINS
    names = {"input_ids", *tokenizer.model_input_names}
    inputs = {name: row for name, row in _INPUTS.items() if name in names}
    for sample, (frame, tokens) in enumerate(_tokenised(tokenizer, zip(texts, bounds, strict=True), word_aligned)):
        yield [
            TokenWindow(
                sample, {name: part[row] for name, row in inputs.items()}, part[_START : _END + 1].T, part[mask]
            )
            for part in frame.windows(tokens, room, stride)
        ]


def _bounds_of(text: str, words: Sequence[tuple[int, int]] | None) -> _Bounds | None:
    """Where spans may begin and end `(2, len(text) + 1)`, if words are given."""
    return None if words is None else word_boundaries(text, words)


def tidy_offsets(kinds: NDArray[np.uint8], offsets: Integers) -> Integers:
    """Make token spans `(n, 2)` bound words: without blanks at either end, with the marks that follow.

    Some tokenizers count in the blank before a word. Some drop combining marks, as BERT's does with the accents of
    decomposed text; a mark that no token covers belongs to the token before it.

    Args:
        kinds (`np.ndarray` of shape `(characters,)`): What the characters of the text are, see [`character_kinds`].
        offsets (`np.ndarray` of shape `(n, 2)`): Start and end of each token.
    """
    start, end = offsets.T
    position = np.arange(len(kinds) + 1)
    blank, mark = kinds & BLANK != 0, kinds & MARK != 0
    inner = start < end
    if blank[start[inner]].any() or blank[end[inner] - 1].any():
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


def _first_from(position: Integers, wanted: NDArray[np.bool_]) -> Integers:
    """For each position, the first one from there on that is wanted; the last one always is."""
    return np.minimum.accumulate(np.where(wanted, position, len(position))[::-1])[::-1]


class _Frame(NamedTuple):
    """How many special tokens a tokenizer puts before those of a text, and how many after."""

    before: int
    after: int

    def inner(self, tokens: _Tokens) -> _Tokens:
        """The table without the special tokens."""
        return tokens[:, self.before : tokens.shape[1] - self.after]

    def around(self, tokens: _Tokens, inner: _Tokens) -> _Tokens:
        """The special tokens of a table around other tokens."""
        return np.concatenate([tokens[:, : self.before], inner, tokens[:, tokens.shape[1] - self.after :]], axis=1)

    def windows(self, tokens: _Tokens, room: int, stride: int) -> list[_Tokens]:
        """Tables of at most `room` tokens beside the special ones, of which neighbours share `stride`."""
        if tokens.shape[1] <= room + sum(self):
            return [tokens]
        inner = self.inner(tokens)
        begins = range(0, inner.shape[1] - stride, room - stride)
        return [self.around(tokens, inner[:, begin : begin + room]) for begin in begins]


def _tokenised(
    tokenizer: PreTrainedTokenizerBase, texts: Iterable[_Text], word_aligned: bool
) -> Iterator[tuple[_Frame, _Tokens]]:
    """The table of each text's tokens, special ones included, and the frame of these."""
    for is_long, group in groupby(texts, key=lambda text: len(text[0]) > _PIECE):
        if is_long:
            yield from (_long(tokenizer, text, word_aligned) for text in group)
        else:
            yield from _tables(tokenizer, group, word_aligned)


def _long(tokenizer: PreTrainedTokenizerBase, text: _Text, word_aligned: bool) -> tuple[_Frame, _Tokens]:
    """The frame and the table of one text, from pieces of it, which are longer where neighbours do not agree."""
    characters, bounds = text

    def piece(begin: int, size: int) -> tuple[_Frame, _Tokens]:
        own = None if bounds is None else bounds[:, begin : begin + size + 1]
        ((frame, table),) = _tables(tokenizer, [(characters[begin : begin + size], own)], word_aligned, is_piece=True)
        frame.inner(table)[_START : _END + 1] += begin
        return frame, table

    begin, size, first = 0, _PIECE, 0
    frame, tokens = piece(begin, size)
    parts = []
    while begin + size < len(characters):
        shared = size // 8
        then = begin + size - shared
        _, following = piece(then, max(shared, _PIECE))
        # What lies near the cuts may be other tokens than in the whole text.
        seam = _seam(tokens, following, then + shared // 4, then + 3 * shared // 4)
        if seam is not None:
            parts.append(tokens[:, first : seam[0]])
            begin, size, tokens, first = then, max(shared, _PIECE), following, seam[1]
            continue
        size *= 4
        _, longer = piece(begin, size)
        if not np.array_equal(longer[:, : first + 1], tokens[:, : first + 1]):
            return piece(0, len(characters))
        tokens = longer
    return frame, np.concatenate([*parts, tokens[:, first:]], axis=1)


def _seam(left: _Tokens, right: _Tokens, begin: int, end: int) -> tuple[int, int] | None:
    """Where one table may end and the other go on: between two words amid the same tokens in these characters."""
    a, b = (((table[_START] < end) & (table[_END] > begin)).nonzero()[0] for table in (left, right))
    if not a.size or not b.size:
        return None
    ours, theirs = left[:, a[0] : a[-1] + 1], right[:, b[0] : b[-1] + 1]
    if not np.array_equal(ours[:_WORD], theirs[:_WORD]):
        return None
    # A text is split into words from left to right, and each word for itself: two pieces that agree on the words here
    # agree on those that follow.
    places = ((np.diff(ours[_WORD]) != 0) & (np.diff(theirs[_WORD]) != 0)).nonzero()[0] + 1
    if not places.size:
        return None
    place = int(places[len(places) // 2])
    return int(a[0]) + place, int(b[0]) + place


def _tables(
    tokenizer: PreTrainedTokenizerBase, texts: Iterable[_Text], word_aligned: bool, is_piece: bool = False
) -> Iterator[tuple[_Frame, _Tokens]]:
    """The frame and the table of each text; the numbers of words only for pieces of texts."""
    for some in _a_few(texts):
        encodings = _encode(tokenizer, [_encodable(text) for text, _ in some])
        lengths = [len(encoding) for encoding in encodings]
        ends = np.cumsum(lengths)
        table = np.ones((8, sum(lengths)), dtype=np.int32)
        table[_ID] = _flat((encoding.ids for encoding in encodings), sum(lengths))
        offsets = _flat((chain.from_iterable(encoding.offsets) for encoding in encodings), 2 * sum(lengths))
        # What stands around the tokens of a text, seen on one that has some.
        longest = encodings[lengths.index(max(lengths))]
        special, types = longest.special_tokens_mask, longest.type_ids
        before = [*special, 0].index(0)
        frame = _Frame(before, sum(special[before:]))
        table[_TYPE] = (types[before:] or [0])[0]
        for index in range(before):
            table[_TYPE, ends - lengths + index] = types[index]
        for index in range(1, frame.after + 1):
            table[_TYPE, ends - index] = types[-index]
        if is_piece:
            numbers = ((-1 if word is None else word for word in encoding.word_ids) for encoding in encodings)
            table[_WORD] = _flat(numbers, sum(lengths))
        del encodings
        # All texts as one, a blank apart, since arrays of a few tokens cost as much as those of thousands.
        kinds = character_kinds("\n".join(text for text, _ in some))
        begins = np.cumsum([0, *(len(text) + 1 for text, _ in some[:-1])])
        begin = np.repeat(begins, lengths)
        offsets = tidy_offsets(kinds, offsets.reshape(-1, 2) + begin[:, None])
        mask = np.broadcast_to(offsets[:, 0] < offsets[:, 1], (2, len(offsets)))
        if word_aligned:
            bounds = np.tile(boundaries_of_kinds(kinds), (2, 1))
            for (text, own), at in zip(some, begins.tolist(), strict=True):
                if own is not None:
                    bounds[:, at : at + len(text) + 1] = own
            mask = mask & np.take_along_axis(bounds, offsets.T, axis=1)
        table[[_START, _END]] = offsets.T - begin
        table[[_BEGINS, _ENDS]] = mask
        yield from ((frame, table[:, end - length : end]) for length, end in zip(lengths, ends.tolist(), strict=True))


def _encode(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[Encoding]:
    """Texts as a call of the tokenizer encodes them, which takes longer, for lists of all that it knows of a text."""
    backend = tokenizer.backend_tokenizer
    if backend.truncation is not None:
        backend.no_truncation()
    if backend.padding is not None:
        backend.no_padding()
    backend.encode_special_tokens = tokenizer.split_special_tokens
    encodings: list[Encoding] = backend.encode_batch(texts)
    return encodings


def _a_few(texts: Iterable[_Text]) -> Iterator[list[_Text]]:
    """Neighbouring texts in lists of `_AT_ONCE` characters at most, and one for each text, or of one text."""
    some: list[_Text] = []
    characters = 0
    for text in texts:
        # An empty text takes room too.
        size = len(text[0]) + 1
        if some and characters + size > _AT_ONCE:
            yield some
            some, characters = [], 0
        some.append(text)
        characters += size
    if some:
        yield some


def _encodable(text: str) -> str:
    """The text without lone surrogates, which tokenizers cannot take; what stands for them keeps every offset."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


def _flat(lists: Iterable[Iterable[int]], count: int) -> Integers:
    """The `count` integers of many lists in one array `(count,)`."""
    return np.fromiter(chain.from_iterable(lists), np.int64, count)
