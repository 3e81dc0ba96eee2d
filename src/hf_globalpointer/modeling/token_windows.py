"""Text to token windows that fit an encoder, with the character span of every token."""

import re
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice, pairwise, repeat
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding
from transformers import PreTrainedTokenizerBase

from .words import MARK, WHITESPACE, boundaries_of_kinds, character_kinds, sentence_ends, word_boundaries


Integers = NDArray[np.int64]
_Bounds = NDArray[np.bool_]
# A text, and where spans of its words may begin and end, `(2, len(text) + 1)`, if words are given.
_Text = tuple[str, _Bounds | None]
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
# Tokenizers without a limit say so with a huge number.
_NO_LIMIT = 1_000_000
# Tokenizers take about a kilobyte a token while they work. So they get texts of this many characters at once, and long
# ones in pieces of this many.
_AT_ONCE, _PIECE = 131_072, 8_192
# As many lists of texts are tokenized ahead: Python's work on one goes on while the tokenizer, in Rust, has another.
_AHEAD = 2
# Tokens are the columns of a table, whose rows are these: id, type, one, start and end in characters, whether a span
# may begin with it, whether one may end with it, and a number that changes where the tokenizer sees another word.
_Tokens = NDArray[np.int32]
_ID, _TYPE, _ONE, _START, _END, _BEGINS, _ENDS, _WORD = range(8)
_INPUTS = {"input_ids": _ID, "token_type_ids": _TYPE, "attention_mask": _ONE}


class TokenWindow(NamedTuple):
    """A stretch of one text as an encoder sees it.

    Args:
        sample (`int`): The position of the text among those that were tokenized.
        inputs (`dict[str, np.ndarray]`): What the encoder takes, each `(n,)`: `input_ids`, `attention_mask`, ...
        offsets (`np.ndarray` of shape `(n, 2)`): Start and end of each token in characters, see [`trim_offsets`].
        span_token_mask (`np.ndarray` of shape `(n,)` or `(2, n)`): 1 for tokens that may begin or end a span: those
            that are not special and stand for more than whitespace. Where spans keep to words, those that may begin
            one, and those that may end one.
        sums (`tuple[int, int]`): A span belongs to the window in whose middle it lies, of those that hold it: to this
            one if the positions of its first and last token here sum up to no less than the first and less than the
            second number.
    """

    sample: int
    inputs: dict[str, NDArray[np.int32]]
    offsets: NDArray[np.int32]
    span_token_mask: NDArray[np.int32]
    sums: tuple[int, int]


@dataclass(frozen=True)
class TokenWindows:
    """Windows of texts that follow each other, in arrays; iterating over it gives them one by one.

    Args:
        samples (`np.ndarray` of shape `(windows,)`): The text of each window, which never goes down.
        begins (`np.ndarray` of shape `(windows + 1,)`): The first token of each window, and the number of tokens.
        inputs, offsets, span_token_mask: As of a [`TokenWindow`], of all windows one after another.
        sums (`np.ndarray` of shape `(windows, 2)`): As of a [`TokenWindow`].
    """

    samples: Integers
    begins: Integers
    inputs: dict[str, NDArray[np.int32]]
    offsets: NDArray[np.int32]
    span_token_mask: NDArray[np.int32]
    sums: Integers

    def __iter__(self) -> Iterator[TokenWindow]:
        bounds = pairwise(self.begins.tolist())
        for sample, (begin, end), (low, high) in zip(self.samples.tolist(), bounds, self.sums.tolist(), strict=True):
            inputs = {name: values[begin:end] for name, values in self.inputs.items()}
            mask = self.span_token_mask[..., begin:end]
            yield TokenWindow(sample, inputs, self.offsets[begin:end], mask, (low, high))


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


def window_size(
    tokenizer: PreTrainedTokenizerBase,
    max_positions: int | None = None,
    max_length: int | None = None,
    stride: int | None = None,
    max_span_length: int | None = None,
) -> tuple[int, int]:
    """The tokens of a window, special ones included, and those that neighboring windows share at least.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): A fast tokenizer.
        max_positions (`int`, *optional*): The positions of the encoder.
        max_length (`int`, *optional*, defaults to as many as tokenizer and encoder allow): The tokens of a window.
        stride (`int`, *optional*, defaults to a quarter of `max_length`, or `max_span_length` if that is more):
            The tokens that windows share.
        max_span_length (`int`, *optional*): The most tokens of a span.

    Raises:
        ValueError: If nothing limits a window, or `max_length` is more than the encoder takes, or special tokens or
            the stride leave no room in a window.
    """
    if max_length is None:
        max_length = max_tokens(tokenizer, max_positions)
    elif max_positions is not None and max_length > max_positions:
        raise ValueError(f"`max_length` must be at most {max_positions}, what the encoder takes, got {max_length}.")
    room = max_length - tokenizer.num_special_tokens_to_add()
    if room < 1:
        raise ValueError(f"Windows of {max_length} tokens leave no room beside the special ones; raise `max_length`.")
    stride = min(max(max_length // 4, max_span_length or 0), room - 1) if stride is None else stride
    if not 0 <= stride < room:
        raise ValueError(f"`stride` must be in 0..{room - 1} for windows of {max_length} tokens, got {stride}.")
    return max_length, stride


def token_windows(
    tokenizer: PreTrainedTokenizerBase,
    texts: Sequence[str],
    max_length: int,
    stride: int,
    word_aligned: bool = False,
    words: Sequence[Sequence[tuple[int, int]] | None] | None = None,
) -> Iterator[TokenWindows]:
    """Tokenize texts into windows of at most `max_length` tokens; what does not fit goes on in the next window.

    A window ends where a sentence or a line does, if one ends in its second half, else where a word does; the next
    begins so too, at least `stride` tokens before that end, so that what has no more tokens than that is whole in a
    window. A span of several windows belongs to one: see `sums` of [`TokenWindow`].

    The tokens are those of the whole text, but where it has words, making them takes no more memory than for a short
    one: a long text is tokenized in pieces that overlap by an eighth, which are joined between two words on which both
    agree. Where they do not, as where there are no words in hundreds of characters, a longer piece is made, in the end
    the whole text. (A tokenizer would have to look hundreds of characters ahead to see other words in the whole.)

    Args:
        tokenizer (`PreTrainedTokenizerBase`): A fast tokenizer.
        texts (`Sequence[str]`): The texts.
        max_length (`int`): The tokens of a window, special ones included; as of [`window_size`], like the next.
        stride (`int`): The tokens that neighboring windows share at least.
        word_aligned (`bool`, *optional*, defaults to `False`): Whether spans begin and end only where words do.
        words (`Sequence`, *optional*):
            For each text, start and end of its words, or None for those of [`word_boundaries`].

    Yields:
        `TokenWindows`: The windows of the next few texts, or of the next long one; one window at least for each text.

    Raises:
        ValueError: If the tokenizer is not a fast one.
    """
    if not tokenizer.is_fast:
        raise ValueError(f"{type(tokenizer).__name__} gives no character offsets; use a fast tokenizer.")
    room = max_length - tokenizer.num_special_tokens_to_add()
    bounds: Iterator[_Bounds | None] = repeat(None, len(texts))
    if word_aligned and words is not None:
        bounds = map(_bounds_of, texts, words)
    mask = slice(_BEGINS, _ENDS + 1) if word_aligned else _BEGINS
    names = {"input_ids", *tokenizer.model_input_names}
    seen = 0
    for some in _tokenized(tokenizer, zip(texts, bounds, strict=True), word_aligned):
        samples, begins, tokens, sums = some.windows(texts[seen : seen + len(some.lengths)], room, stride)
        inputs = {name: tokens[row] for name, row in _INPUTS.items() if name in names}
        yield TokenWindows(seen + samples, begins, inputs, tokens[_START : _END + 1].T, tokens[mask], sums)
        seen += len(some.lengths)


def _bounds_of(text: str, words: Sequence[tuple[int, int]] | None) -> _Bounds | None:
    """Where spans may begin and end `(2, len(text) + 1)`, if words are given."""
    return None if words is None else word_boundaries(text, words)


def trim_offsets(kinds: NDArray[np.uint8], offsets: Integers) -> Integers:
    """Make token spans `(n, 2)` bound words: without spaces at either end, with the marks that follow.

    Some tokenizers count in the blank before a word. Some drop combining marks, as BERT's does with the accents of
    decomposed text; a mark that no token covers belongs to the token before it.

    Args:
        kinds (`np.ndarray` of shape `(characters,)`): What the characters of the text are, see [`character_kinds`].
        offsets (`np.ndarray` of shape `(n, 2)`): Start and end of each token.
    """
    start, end = offsets.T
    position = np.arange(len(kinds) + 1)
    blank, mark = kinds & WHITESPACE != 0, kinds & MARK != 0
    inner = start < end
    if blank[start[inner]].any() or blank[end[inner] - 1].any():
        # For each position, the first one from there on, and the last one up to there, that borders no whitespace.
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


class _Tokenized(NamedTuple):
    """The tokens of some texts, special ones included.

    Args:
        table (`np.ndarray` of shape `(8, n)`): The tokens of all texts, one after another.
        lengths (`np.ndarray` of shape `(texts,)`): How many of them each text has.
        before, after (`int`): How many special tokens stand before and after the others of each text.
    """

    table: _Tokens
    lengths: Integers
    before: int
    after: int

    def windows(self, texts: Sequence[str], room: int, stride: int) -> tuple[Integers, Integers, _Tokens, Integers]:
        """Cut these texts into windows of at most `room` tokens beside the special ones; see [`token_windows`].

        Returns:
            The text of each window `(w,)`; its first token, with an end `(w + 1,)`; the table of their tokens; and
            which spans belong to it `(w, 2)`, see [`TokenWindow`].
        """
        inner = self.lengths - self.before - self.after
        cuts = [[(0, length)] for length in inner.tolist()]
        for sample in (inner > room).nonzero()[0].tolist():
            cuts[sample] = _cuts(int(inner[sample]), room, stride, *self._ends(texts[sample], sample))
        counts = np.array([len(windows) for windows in cuts])
        samples = np.repeat(np.arange(len(counts)), counts)
        bounds = np.array(list(chain.from_iterable(cuts)), dtype=np.int64)
        sums = self._sums(samples, bounds)
        if len(samples) == len(counts):
            return samples, _begins(self.lengths), self.table, sums
        # For each window, the tokens of its text that come before it, those it has, and those that come after.
        earlier, own = bounds[:, 0], bounds[:, 1] - bounds[:, 0]
        later = inner[samples] - earlier - own
        begins = _begins(own + self.before + self.after)
        lengths = np.diff(begins)
        place = np.arange(begins[-1]) - np.repeat(begins[:-1], lengths)
        source = place + np.repeat(_begins(self.lengths)[:-1][samples], lengths)
        source += np.where(place >= self.before, np.repeat(earlier, lengths), 0)
        source += np.where(place >= np.repeat(self.before + own, lengths), np.repeat(later, lengths), 0)
        return samples, begins, self.table[:, source], sums

    def _ends(self, text: str, sample: int) -> tuple[Integers, Integers]:
        """After how many tokens beside the special ones a sentence of a text may end, and after how many a word."""
        begin = int(self.lengths[:sample].sum())
        starts, ends = self.table[_START : _END + 1, begin + self.before : begin + self.lengths[sample] - self.after]
        # One character may be several tokens.
        apart = starts[1:] >= ends[:-1]
        sentences, words = (bounds[ends[:-1]] & apart for bounds in (sentence_ends(text), word_boundaries(text)))
        return sentences.nonzero()[0] + 1, words.nonzero()[0] + 1

    def _sums(self, samples: Integers, bounds: Integers) -> Integers:
        """Which spans belong to each window, see [`TokenWindow`], given its text and its bounds there `(w, 2)`.

        Span (i, j), j included, is as far from the end of a window, e, as from the start of the next one, s, where
        e - (j + 1) = i - s, and so i + j = e + s - 1. What has a lower sum is farther from the end, and belongs to the
        former; or else the latter does not hold it.
        """
        sums = np.stack([np.full(len(samples), -1), np.full(len(samples), np.iinfo(np.int32).max)], axis=1)
        (follows,) = (samples[1:] == samples[:-1]).nonzero()
        middle = bounds[follows, 1] + bounds[follows + 1, 0]
        # Positions count special tokens in, and begin anew with each window.
        sums[follows, 1] = middle - 2 * (bounds[follows, 0] - self.before)
        sums[follows + 1, 0] = middle - 2 * (bounds[follows + 1, 0] - self.before)
        return sums


def _cuts(length: int, room: int, stride: int, sentences: Integers, words: Integers) -> list[tuple[int, int]]:
    """Where the windows of a text begin and end.

    Args:
        length (`int`): The tokens of the text.
        room (`int`): The most tokens of a window.
        stride (`int`): The tokens that neighboring ones share at least.
        sentences (`np.ndarray`): After how many tokens a sentence ends, in order.
        words (`np.ndarray`): After how many tokens a word ends, in order.
    """

    def cut(low: int, high: int) -> int:
        """The last place after `low`, up to `high`, where a sentence ends, or else a word; or else `high`."""
        for places in (sentences, words):
            index = int(places.searchsorted(high, side="right")) - 1
            if index >= 0 and places[index] > low:
                return int(places[index])
        return high

    windows: list[tuple[int, int]] = []
    begin, end = 0, 0
    while begin + room < length:
        # Beyond the window before it, and far enough for the next window to begin later than this one.
        end = cut(max(begin + room // 2, begin + stride, end), begin + room)
        windows.append((begin, end))
        begin = cut(max(begin, end - stride - room // 4), end - stride)
    return [*windows, (begin, length)]


def _begins(lengths: Integers) -> Integers:
    """Where things of these lengths `(n,)` begin, one after another, and where the last one ends: `(n + 1,)`."""
    return np.append(0, np.cumsum(lengths))


def _tokenized(tokenizer: PreTrainedTokenizerBase, texts: Iterable[_Text], word_aligned: bool) -> Iterator[_Tokenized]:
    """The tokens of the next few texts, or of the next long one. While they are in use, the next ones are made."""

    def tokenize(some: list[_Text]) -> _Tokenized:
        is_long = len(some[0][0]) > _PIECE
        return _long(tokenizer, some[0], word_aligned) if is_long else _short(tokenizer, some, word_aligned)

    lists = _a_few(texts)
    first = list(islice(lists, 2))
    _set_up(tokenizer)
    if len(first) == 1:
        # A thread would take longer to start than a few words to tokenize.
        yield tokenize(first[0])
        return
    waiting: deque[Future[_Tokenized]] = deque()
    with ThreadPoolExecutor(_AHEAD) as pool:
        for some in chain(first, lists):
            waiting.append(pool.submit(tokenize, some))
            if len(waiting) > _AHEAD:
                yield waiting.popleft().result()
                _set_up(tokenizer)
        while waiting:
            yield waiting.popleft().result()


def _long(tokenizer: PreTrainedTokenizerBase, text: _Text, word_aligned: bool) -> _Tokenized:
    """The tokens of one text, from pieces of it, which are longer where neighbors do not agree."""
    characters, bounds = text

    def piece(begin: int, size: int) -> _Tokenized:
        own = None if bounds is None else bounds[:, begin : begin + size + 1]
        some = _short(tokenizer, [(characters[begin : begin + size], own)], word_aligned, is_piece=True)
        some.table[_START : _END + 1, some.before : some.table.shape[1] - some.after] += begin
        return some

    begin, size, first = 0, _PIECE, 0
    some = piece(begin, size)
    tokens, parts = some.table, []
    while begin + size < len(characters):
        shared = size // 8
        then = begin + size - shared
        following = piece(then, max(shared, _PIECE)).table
        # What lies near the cuts may be other tokens than in the whole text.
        seam = _seam(tokens, following, then + shared // 4, then + 3 * shared // 4)
        if seam is not None:
            parts.append(tokens[:, first : seam[0]])
            begin, size, tokens, first = then, max(shared, _PIECE), following, seam[1]
            continue
        size *= 4
        longer = piece(begin, size).table
        if not np.array_equal(longer[:, : first + 1], tokens[:, : first + 1]):
            return piece(0, len(characters))
        tokens = longer
    table = np.concatenate([*parts, tokens[:, first:]], axis=1)
    return some._replace(table=table, lengths=np.array([table.shape[1]]))


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


def _short(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[_Text], word_aligned: bool, is_piece: bool = False
) -> _Tokenized:
    """The tokens of texts, made at once; the numbers of words only for pieces of texts."""
    encodings = _encode(tokenizer, [_encodable(text) for text, _ in texts])
    lengths = np.fromiter(map(len, encodings), np.int64, len(encodings))
    ends = np.cumsum(lengths)
    table = np.ones((8, ends[-1]), dtype=np.int32)
    table[_ID] = _flat((encoding.ids for encoding in encodings), ends[-1])
    offsets = _flat(chain.from_iterable(encoding.offsets for encoding in encodings), 2 * ends[-1])
    # What stands around the tokens of a text, seen on one that has some.
    longest = encodings[lengths.argmax()]
    special, types = longest.special_tokens_mask, longest.type_ids
    before = [*special, 0].index(0)
    after = sum(special[before:])
    table[_TYPE] = (types[before:] or [0])[0]
    for index in range(before):
        table[_TYPE, ends - lengths + index] = types[index]
    for index in range(1, after + 1):
        table[_TYPE, ends - index] = types[-index]
    if is_piece:
        numbers = ((-1 if word is None else word for word in encoding.word_ids) for encoding in encodings)
        table[_WORD] = _flat(numbers, ends[-1])
    del encodings
    # All texts as one, a blank apart, since arrays of a few tokens cost as much as those of thousands.
    kinds = character_kinds("\n".join(text for text, _ in texts))
    begins = _begins(np.array([len(text) + 1 for text, _ in texts]))[:-1]
    begin = np.repeat(begins, lengths)
    offsets = trim_offsets(kinds, offsets.reshape(-1, 2) + begin[:, None])
    mask = np.broadcast_to(offsets[:, 0] < offsets[:, 1], (2, len(offsets)))
    if word_aligned:
        bounds = np.tile(boundaries_of_kinds(kinds), (2, 1))
        for (text, own), at in zip(texts, begins.tolist(), strict=True):
            if own is not None:
                bounds[:, at : at + len(text) + 1] = own
        mask = mask & np.take_along_axis(bounds, offsets.T, axis=1)
    table[[_START, _END]] = offsets.T - begin
    table[[_BEGINS, _ENDS]] = mask
    return _Tokenized(table, lengths, before, after)


def _set_up(tokenizer: PreTrainedTokenizerBase) -> None:
    """Make the tokenizer's backend do what a call of the tokenizer does, and neither truncate nor pad.

    Only what differs is set, since a backend at work in another thread cannot be changed.
    """
    backend = tokenizer.backend_tokenizer
    if backend.truncation is not None:
        backend.no_truncation()
    if backend.padding is not None:
        backend.no_padding()
    if backend.encode_special_tokens != tokenizer.split_special_tokens:
        backend.encode_special_tokens = tokenizer.split_special_tokens


def _encode(tokenizer: PreTrainedTokenizerBase, texts: list[str]) -> list[Encoding]:
    """Texts as a call of the tokenizer encodes them, which takes longer, for lists of all that it knows of a text."""
    encodings: list[Encoding] = tokenizer.backend_tokenizer.encode_batch(texts)
    return encodings


def _a_few(texts: Iterable[_Text]) -> Iterator[list[_Text]]:
    """Neighboring texts in lists of `_AT_ONCE` characters at most, and one more for each text; a long one alone."""
    some: list[_Text] = []
    characters = 0
    for text in texts:
        # An empty text takes room too.
        size = len(text[0]) + 1
        if some and (characters + size > _AT_ONCE or size > _PIECE):
            yield some
            some, characters = [], 0
        some.append(text)
        characters += size if size <= _PIECE else _AT_ONCE
    if some:
        yield some


def _encodable(text: str) -> str:
    """The text without lone surrogates, which tokenizers cannot take; what stands for them keeps every offset."""
    return text if text.isascii() else _LONE_SURROGATE.sub("\ufffd", text)


def _flat(lists: Iterable[Iterable[int]], count: int) -> Integers:
    """The `count` integers of many lists in one array `(count,)`."""
    return np.fromiter(chain.from_iterable(lists), np.int64, count)
