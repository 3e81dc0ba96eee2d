"""Text to token windows that fit an encoder, with the character span of every token."""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, groupby, islice, repeat
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding
from transformers import PreTrainedTokenizerBase

from .characters import BLANK, MARK, boundaries_of_kinds, character_kinds, word_boundaries


Integers = NDArray[np.int64]
_Bounds = NDArray[np.bool_]
_Other = TypeVar("_Other")
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
# Tokenizers without a limit say so with a huge number.
_NO_LIMIT = 1_000_000
# Tokenizers take about a kilobyte a token while they work. So they get texts of this many characters at once, and long
# ones in pieces, of which neighbours share some characters.
_AT_ONCE, _PIECE, _SHARED = 32_768, 16_384, 2_048
# Tokens are the columns of a table, whose rows are these: id, start and end in characters, whether a span may begin and
# end with it, and a number that differs from the next one's where the tokenizer sees two words.
_ID, _START, _END, _BEGINS, _ENDS, _WORD = range(6)


@dataclass(frozen=True, slots=True)
class TokenWindow:
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
    inputs: dict[str, Integers]
    offsets: Integers
    span_token_mask: Integers


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
    """Tokenise texts into windows of at most `max_length` tokens; what does not fit goes on in the next window.

    The tokens are those of the whole text, however long it is, and the memory for making them is the same: a long text
    is tokenised in pieces that overlap, which are joined between two words on which both agree. Where they do not
    agree, as where there are no words in a thousand characters, it is tokenised whole.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): A fast tokenizer.
        texts (`Sequence[str]`): The texts.
        max_length (`int`): The length of a window in tokens, special ones included.
        stride (`int`, *optional*, defaults to a quarter of `max_length`): The tokens that neighbouring windows share.
        word_aligned (`bool`, *optional*, defaults to `False`): Whether spans begin and end only where words do.
        words (`Sequence`, *optional*):
            For each text, start and end of its words, or None for those of [`word_boundaries`].

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
    bounds: list[_Bounds | None] | None = None
    if word_aligned:
        given = [None] * len(texts) if words is None else words
        pairs = zip(texts, given, strict=True)
        bounds = [None if some is None else word_boundaries(text, some) for text, some in pairs]
    mask = slice(_BEGINS, _ENDS + 1) if word_aligned else _BEGINS
    return [
        TokenWindow(sample, frame.inputs(part[_ID]), part[_START : _END + 1].T, part[mask])
        for sample, (frame, tokens) in enumerate(_tokenised(tokenizer, texts, bounds))
        for part in frame.windows(tokens, room, stride)
    ]


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


class _Frame:
    """The special tokens that a tokenizer puts around the others, and the inputs that only the number of tokens decides.

    Args:
        encoding (`Encoding`): A text as the tokenizer encodes it, with tokens of its own if any text at hand has some.
        names (`Sequence[str]`): The inputs that the encoder takes.
    """

    def __init__(self, encoding: Encoding, names: Sequence[str]) -> None:
        special, types = encoding.special_tokens_mask, encoding.type_ids
        self._before = [*special, 0].index(0)
        self._after = sum(special[self._before :])
        self._types = [types[: self._before], types[self._before :][:1], types[len(types) - self._after :]]
        self._names = names
        self._inputs: dict[int, dict[str, Integers]] = {}

    def inputs(self, ids: Integers) -> dict[str, Integers]:
        """What an encoder takes for tokens `(n,)`, special ones included."""
        count = len(ids)
        if count not in self._inputs:
            before, each, after = self._types
            types = [*before, *each * (count - self._before - self._after), *after]
            inputs = {"token_type_ids": np.array(types, dtype=np.int64), "attention_mask": np.ones(count, np.int64)}
            self._inputs[count] = {name: values for name, values in inputs.items() if name in self._names}
        return {"input_ids": ids, **self._inputs[count]}

    def inner(self, tokens: Integers) -> Integers:
        """The tokens without the special ones."""
        return tokens[:, self._before : tokens.shape[1] - self._after]

    def around(self, tokens: Integers, inner: Integers) -> Integers:
        """The special tokens of a table around other tokens."""
        return np.concatenate([tokens[:, : self._before], inner, tokens[:, tokens.shape[1] - self._after :]], axis=1)

    def windows(self, tokens: Integers, room: int, stride: int) -> list[Integers]:
        """Tables of at most `room` tokens beside the special ones, of which neighbours share `stride`."""
        inner = self.inner(tokens)
        count = inner.shape[1]
        if count <= room:
            return [tokens]
        begins = range(0, count - stride, room - stride)
        return [self.around(tokens, inner[:, begin : begin + room]) for begin in begins]


def _tokenised(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], bounds: Sequence[_Bounds | None] | None
) -> Iterator[tuple[_Frame, Integers]]:
    """The table of each text's tokens, special ones included, and the frame of these."""
    of_texts: Iterable[_Bounds | None] = repeat(None) if bounds is None else bounds
    word_aligned = bounds is not None
    for is_long, group in groupby(zip(texts, of_texts, strict=False), key=lambda pair: len(pair[0]) > _PIECE):
        if is_long:
            yield from (_long(tokenizer, text, word_aligned, own) for text, own in group)
        else:
            for some in _a_few(group):
                yield from _tables(tokenizer, some, word_aligned)


def _a_few(texts: Iterable[tuple[str, _Other]]) -> Iterator[list[tuple[str, _Other]]]:
    """Neighbouring texts, each with something else, in lists of `_AT_ONCE` characters at most, or of one text."""
    some: list[tuple[str, _Other]] = []
    characters = 0
    for text, other in texts:
        characters += len(text)
        if some and characters > _AT_ONCE:
            yield some
            some, characters = [], len(text)
        some.append((text, other))
    if some:
        yield some


def _long(
    tokenizer: PreTrainedTokenizerBase, text: str, word_aligned: bool, bounds: _Bounds | None
) -> tuple[_Frame, Integers]:
    """The frame and the table of one text, from pieces of it; where these do not agree, from longer ones."""
    piece, shared = _PIECE, _SHARED
    while True:
        begins = range(0, max(1, len(text) - shared), piece - shared)
        pieces = (
            (text[begin : begin + piece], None if bounds is None else bounds[:, begin : begin + piece + 1])
            for begin in begins
        )
        tables = [each for some in _a_few(pieces) for each in _tables(tokenizer, some, word_aligned, with_words=True)]
        frame, whole = tables[0]
        if len(tables) == 1:
            return frame, whole
        for begin, (_, table) in zip(begins, tables, strict=True):
            table[_START : _END + 1] += begin
        inner = _joined([own.inner(table) for own, table in tables], begins, shared)
        if inner is not None:
            return frame, frame.around(whole, inner)
        piece, shared = 2 * piece, 2 * shared


def _joined(pieces: Sequence[Integers], begins: Iterable[int], shared: int) -> Integers | None:
    """The tokens of a text from those of its pieces, which begin there; None where neighbours do not agree."""
    parts = []
    tokens, first = pieces[0], 0
    for following, begin in zip(pieces[1:], islice(begins, 1, None), strict=True):
        # What lies near the cuts may be other tokens than in the whole text.
        seam = _seam(tokens, following, begin + shared // 4, begin + 3 * shared // 4)
        if seam is None:
            return None
        parts.append(tokens[:, first : seam[0]])
        tokens, first = following, seam[1]
    return np.concatenate([*parts, tokens[:, first:]], axis=1)


def _seam(left: Integers, right: Integers, begin: int, end: int) -> tuple[int, int] | None:
    """Where one table may end and the other go on: between two words amid the same tokens in these characters."""
    a, b = (((table[_START] < end) & (table[_END] > begin)).nonzero()[0] for table in (left, right))
    if not a.size or not b.size:
        return None
    ours, theirs = left[:, a[0] : a[-1] + 1], right[:, b[0] : b[-1] + 1]
    if not np.array_equal(ours[:_WORD], theirs[:_WORD]):
        return None
    # Tokenizers split a text into words from left to right, and each word for itself: after a word that they agree on,
    # they agree.
    places = ((np.diff(ours[_WORD]) != 0) & (np.diff(theirs[_WORD]) != 0)).nonzero()[0] + 1
    if not places.size:
        return None
    place = int(places[len(places) // 2])
    return int(a[0]) + place, int(b[0]) + place


def _tables(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[tuple[str, _Bounds | None]],
    word_aligned: bool,
    with_words: bool = False,
) -> Iterator[tuple[_Frame, Integers]]:
    """The frame and the table of each text, all tokenised together."""
    backend = tokenizer.backend_tokenizer
    # What a call of the tokenizer sets too. The call itself takes half as much time again, for lists of all it knows.
    if backend.truncation is not None:
        backend.no_truncation()
    if backend.padding is not None:
        backend.no_padding()
    backend.encode_special_tokens = tokenizer.split_special_tokens
    encodings: list[Encoding] = backend.encode_batch([_encodable(text) for text, _ in texts])
    lengths = [len(encoding) for encoding in encodings]
    table = np.zeros((6, sum(lengths)), dtype=np.int64)
    table[_ID] = _flat((encoding.ids for encoding in encodings), sum(lengths))
    pairs = chain.from_iterable(encoding.offsets for encoding in encodings)
    offsets = _flat(pairs, 2 * sum(lengths)).reshape(-1, 2)
    if with_words:
        numbers = ((-1 if word is None else word for word in encoding.word_ids) for encoding in encodings)
        table[_WORD] = _flat(numbers, sum(lengths))
    longest = encodings[int(np.argmax(lengths))]
    frame = _Frame(longest, tokenizer.model_input_names)
    # All texts as one, a blank apart, since arrays of a few tokens cost as much as those of thousands.
    kinds = character_kinds("\n".join(text for text, _ in texts))
    begins = np.cumsum([0, *(len(text) + 1 for text, _ in texts[:-1])])
    begin = np.repeat(begins, lengths)
    offsets = tidy_offsets(kinds, offsets + begin[:, None])
    mask = np.broadcast_to(offsets[:, 0] < offsets[:, 1], (2, len(offsets)))
    if word_aligned:
        bounds = np.tile(boundaries_of_kinds(kinds), (2, 1))
        for (text, own), at in zip(texts, begins.tolist(), strict=True):
            if own is not None:
                bounds[:, at : at + len(text) + 1] = own
        mask = mask & np.take_along_axis(bounds, offsets.T, axis=1)
    table[[_START, _END]] = offsets.T - begin
    table[[_BEGINS, _ENDS]] = mask
    ends = np.cumsum(lengths).tolist()
    return ((frame, table[:, end - length : end]) for length, end in zip(lengths, ends, strict=True))


def _encodable(text: str) -> str:
    """The text without lone surrogates, which tokenizers cannot take; what stands for them keeps every offset."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


def _flat(lists: Iterable[Iterable[int]], count: int) -> Integers:
    """The `count` integers of many lists in one array `(count,)`."""
    return np.fromiter(chain.from_iterable(lists), np.int64, count)
