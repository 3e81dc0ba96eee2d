"""Text to token windows that fit an encoder, with the character span of every token."""

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import accumulate, chain, pairwise
from typing import Any, NamedTuple, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from .words import (
    CAPITAL,
    MARK,
    SMALL,
    WHITESPACE,
    boundaries_of_kinds,
    character_kinds,
    sentence_ends,
    word_boundaries,
)


Integers = NDArray[np.int64]
_Item = TypeVar("_Item")
# The position of a text, the text, and start and end of its words, if they are given.
_Document = tuple[int, tuple[str, Sequence[tuple[int, int]] | None]]
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
# Tokenizers without a limit say so with a huge number.
_NO_LIMIT = 1_000_000
# Texts are tokenized in batches of this many characters, as tokenizers take about a kilobyte a token.
_BATCH_CHARACTERS = 131_072
_ALL_SPANS = (-1, np.iinfo(np.int32).max)


class Tokenizer(Protocol):
    """What is needed of a tokenizer: fast ones of Transformers have it, and so has the one of [`Recognizer`]."""

    is_fast: bool
    model_max_length: int
    pad_token_id: int | None
    pad_token_type_id: int

    def num_special_tokens_to_add(self) -> int:
        """How many special tokens a text gets."""

    def __call__(self, text: list[str], **options: Any) -> Any:
        """Tokenize texts."""


class TokenWindow(NamedTuple):
    """A stretch of one text as an encoder sees it.

    Args:
        sample (`int`): The position of the text among those that were tokenized.
        inputs (`dict[str, np.ndarray]`): What the encoder takes, each `(n,)`: `input_ids`, `attention_mask`, ...
        offsets (`np.ndarray` of shape `(n, 2)`): Start and end of each token in characters, see [`trim_offsets`].
        span_token_mask (`np.ndarray` of shape `(n,)` or `(2, n)`): 1 for tokens that may start or end a span: those
            that are not special and stand for more than whitespace. Where spans keep to words, those that may start
            one, and those that may end one.
        sums (`tuple[int, int]`): A span of several windows belongs to the one in whose middle it lies: to this one if
            `sums[0] <= start_token + end_token < sums[1]`, counted in this window. See [`owned_sums`].
    """

    sample: int
    inputs: dict[str, NDArray[np.int32]]
    offsets: NDArray[np.int32]
    span_token_mask: NDArray[np.int32]
    sums: tuple[int, int]


def max_tokens(tokenizer: Tokenizer, max_positions: int | None = None) -> int:
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
    tokenizer: Tokenizer,
    max_positions: int | None = None,
    max_length: int | None = None,
    stride: int | None = None,
    max_span_length: int | None = None,
) -> tuple[int, int]:
    """The most tokens of a window, special ones included, and the fewest that neighboring windows share.

    Args:
        tokenizer (`Tokenizer`): A fast tokenizer.
        max_positions (`int`, *optional*): The positions of the encoder.
        max_length (`int`, *optional*, defaults to as many as tokenizer and encoder allow): The tokens of a window.
        stride (`int`, *optional*, defaults to a quarter of `max_length`, or `max_span_length` if that is more):
            The tokens that windows share.
        max_span_length (`int`, *optional*): The most tokens of a span.

    Raises:
        ValueError: If nothing limits a window, or `max_length` is more than the encoder takes, or special tokens or
            the stride take up all of a window.
    """
    if max_length is None:
        max_length = max_tokens(tokenizer, max_positions)
    elif max_positions is not None and max_length > max_positions:
        raise ValueError(f"`max_length` must be at most {max_positions}, what the encoder takes, got {max_length}.")
    content_length = max_length - tokenizer.num_special_tokens_to_add()
    if content_length < 1:
        raise ValueError(f"Windows of {max_length} tokens leave none beside the special ones; raise `max_length`.")
    stride = min(max(max_length // 4, max_span_length or 0), content_length - 1) if stride is None else stride
    if not 0 <= stride < content_length:
        raise ValueError(
            f"`stride` must be in 0..{content_length - 1} for windows of {max_length} tokens, got {stride}."
        )
    return max_length, stride


def token_windows(
    tokenizer: Tokenizer,
    texts: Sequence[str],
    max_length: int,
    stride: int,
    word_aligned: bool = False,
    words: Sequence[Sequence[tuple[int, int]] | None] | None = None,
    mark_capitals: bool = False,
) -> Iterator[list[TokenWindow]]:
    """Tokenize texts into windows of at most `max_length` tokens; a longer text continues in the next window.

    See [`window_bounds`] for where windows start and end, and [`owned_sums`] for the window that a span belongs to.

    Args:
        tokenizer (`Tokenizer`): A fast tokenizer.
        texts (`Sequence[str]`): The texts.
        max_length (`int`): The most tokens of a window, special ones included; as of [`window_size`], like the next.
        stride (`int`): The fewest tokens that neighboring windows share.
        word_aligned (`bool`, *optional*, defaults to `False`): Whether spans start and end only where words do.
        words (`Sequence`, *optional*):
            For each text, start and end of its words, or None for those of [`word_boundaries`].
        mark_capitals (`bool`, *optional*, defaults to `False`):
            Whether `token_type_ids` are 1 for tokens that begin with a capital letter; in a text without small
            letters, where capitals tell nothing, none is.

    Yields:
        `list[TokenWindow]`: The windows of the next few texts; at least one for each text.

    Raises:
        ValueError: If the tokenizer is not a fast one.
    """
    if not tokenizer.is_fast:
        raise ValueError(f"{type(tokenizer).__name__} gives no character offsets; use a fast tokenizer.")
    documents = enumerate(zip(texts, words or [None] * len(texts), strict=True))
    for batch in batches_by_characters(documents, len(texts), _BATCH_CHARACTERS, lambda document: len(document[1][0])):
        windows: list[TokenWindow] = []
        for window, num_before in _tokenize(tokenizer, batch, word_aligned, mark_capitals):
            if len(window.offsets) <= max_length:
                windows.append(window)
            else:
                num_after = tokenizer.num_special_tokens_to_add() - num_before
                windows += _split(window, texts[window.sample], (num_before, num_after), max_length, stride)
        yield windows


def pad_windows(windows: Sequence[TokenWindow], tokenizer: Tokenizer) -> dict[str, Integers]:
    """Pad windows on the right, which leaves the positions of all tokens as they are for a text alone.

    Args:
        windows (`Sequence[TokenWindow]`): Windows, one at least.
        tokenizer (`Tokenizer`): Their tokenizer.

    Returns:
        `dict[str, np.ndarray]`: Their inputs, each `(B, n)`, and `span_token_mask`, `(B, n)` or `(B, 2, n)`.
    """
    n = max(len(window.offsets) for window in windows)
    # Without a token for padding, any will do: what is masked has no effect.
    fills = {"input_ids": tokenizer.pad_token_id or 0, "token_type_ids": tokenizer.pad_token_type_id}
    padded: dict[str, Integers] = {}
    for name in windows[0].inputs:
        rows = [window.inputs[name] for window in windows]
        padded[name] = _padded(rows, n, fills.get(name, 0))
    padded["span_token_mask"] = _padded([window.span_token_mask for window in windows], n, 0)
    return padded


def _padded(rows: Sequence[NDArray[np.int32]], n: int, fill: int) -> Integers:
    """Rows `(..., tokens)` as one array `(B, ..., n)`."""
    padded = np.full((len(rows), *rows[0].shape[:-1], n), fill, dtype=np.int64)
    for into, row in zip(padded, rows, strict=True):
        into[..., : row.shape[-1]] = row
    return padded


def batches_by_characters(
    items: Iterable[_Item], size: int, characters: int, length: Callable[[_Item], int]
) -> Iterator[list[_Item]]:
    """Group texts in lists; where reading one fails, those read before it come out first.

    Args:
        items (`Iterable`): What holds the texts.
        size (`int`): The most items of a list.
        characters (`int`): A list ends with the item that brings it to this many characters.
        length (`Callable`): The number of characters of an item.
    """
    batch: list[_Item] = []
    total = 0
    try:
        for item in items:
            batch.append(item)
            total += length(item)
            if len(batch) >= size or total >= characters:
                yield batch
                batch, total = [], 0
    except Exception:
        if batch:
            yield batch
        raise
    if batch:
        yield batch


def window_bounds(
    num_tokens: int, content_length: int, stride: int, sentences: Sequence[int], words: Sequence[int]
) -> list[tuple[int, int]]:
    """Where the windows of a text start and end among its tokens.

    A window ends with the last sentence (or line) that ends in its second half, else with the last word, else where it
    is full. The next one shares the last `stride` tokens with it, and up to a quarter of a window more in order to
    start with a sentence, else with a word.

    Args:
        num_tokens (`int`): The tokens of the text, without special ones.
        content_length (`int`): The most tokens of a window, without special ones.
        stride (`int`): The fewest tokens that neighboring windows share.
        sentences (`Sequence[int]`): After how many tokens a sentence ends, in order.
        words (`Sequence[int]`): After how many tokens a word ends, in order.

    Returns:
        `list[tuple[int, int]]`: The first token of each window, and the one after its last.

    Example:
        Sentences of 6 and 14 tokens, in windows of 8 that share 2. The first window ends with the first sentence; no
        other ends in the second half of a window. The second window ends after token 10, with a word; the third one
        starts 3 tokens before that, as 2 tokens before it no word does.

        ```python
        >>> window_bounds(20, 8, 2, sentences=[6], words=[1, 2, 4, 6, 7, 8, 11, 14, 16, 18])
        [(0, 6), (4, 11), (8, 16), (14, 20)]

        ```
    """

    def last_end(low: int, high: int) -> int:
        """The last place in `low + 1..high` where a sentence ends, or else a word; or else `high`."""
        for places in (sentences, words):
            index = bisect_right(places, high) - 1
            if index >= 0 and places[index] > low:
                return places[index]
        return high

    bounds: list[tuple[int, int]] = []
    start, end = 0, 0
    while start + content_length < num_tokens:
        # Beyond the window before it, and far enough for the next window to start later than this one.
        end = last_end(max(start + content_length // 2, start + stride, end), start + content_length)
        bounds.append((start, end))
        start = last_end(max(start, end - stride - content_length // 4), end - stride)
    return [*bounds, (start, num_tokens)]


def owned_sums(bounds: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Which spans belong to each window of a text: `low <= start_token + end_token < high`, counted in the text.

    A span in two windows belongs to the one where it is farther from the end at which the text continues. Its distance
    from the end of the former is `end - 1 - end_token`, from the start of the latter, `start_token - start`; so it
    belongs to the former where `start_token + end_token < start + end`, ties included.

    Args:
        bounds (`Sequence[tuple[int, int]]`): As of [`window_bounds`].

    Example:
        Windows of tokens 0 to 7 and 4 to 11. The span of tokens 5 and 6 has one token after it in the former and one
        before it in the latter: the former has it. That of 6 and 7 belongs to the latter.

        ```python
        >>> owned_sums([(0, 8), (4, 12)])
        [(-1, 12), (12, 2147483647)]

        ```
    """
    limits = [end + next_start for (_, end), (next_start, _) in pairwise(bounds)]
    return list(pairwise([_ALL_SPANS[0], *limits, _ALL_SPANS[1]]))


def trim_offsets(kinds: NDArray[np.uint8], offsets: Integers) -> Integers:
    """Make token spans `(n, 2)` bound words: without whitespace at either end, with the marks that follow.

    Some tokenizers include the whitespace before a word. Some drop combining marks, as BERT's does with the accents
    of decomposed text; a mark that no token covers belongs to the token before it.

    Args:
        kinds (`np.ndarray` of shape `(characters,)`): What the characters of the text are, see [`character_kinds`].
        offsets (`np.ndarray` of shape `(n, 2)`): Start and end of each token.
    """
    start, end = offsets.T
    position = np.arange(len(kinds) + 1)
    is_space, is_mark = kinds & WHITESPACE != 0, kinds & MARK != 0
    has_characters = start < end
    if is_space[start[has_characters]].any() or is_space[end[has_characters] - 1].any():
        # For each position, the first one from there on, and the last one up to there, that borders no whitespace.
        next_word = _first_from(position, ~np.append(is_space, False))
        last_word = np.maximum.accumulate(np.where(np.insert(is_space, 0, False), 0, position))
        start = np.minimum(next_word[start], end)
        end = np.maximum(last_word[end], start)
    if is_mark.any():
        covered = np.bincount(start, minlength=len(position)) - np.bincount(end, minlength=len(position))
        dropped = np.append(is_mark & (covered.cumsum()[:-1] == 0), False)
        end = np.where(start < end, _first_from(position, ~dropped)[end], end)
    return np.stack([start, end], axis=1)


def _first_from(position: Integers, wanted: NDArray[np.bool_]) -> Integers:
    """For each position, the first one from there on that is wanted; the last one always is."""
    return np.minimum.accumulate(np.where(wanted, position, len(position))[::-1])[::-1]


def _split(
    window: TokenWindow, text: str, num_special: tuple[int, int], max_length: int, stride: int
) -> Iterator[TokenWindow]:
    """Split the tokens of a text into windows, each with the special tokens before and after them."""
    before, after = num_special
    stop = len(window.offsets) - after
    starts, ends = window.offsets[before:stop].T
    # One character may be several tokens, between which nothing ends.
    is_apart = starts[1:] >= ends[:-1]
    sentences, words = (
        ((is_end[ends[:-1]] & is_apart).nonzero()[0] + 1).tolist()
        for is_end in (sentence_ends(text), word_boundaries(text))
    )
    bounds = window_bounds(stop - before, max_length - before - after, stride, sentences, words)
    for (start, end), (low, high) in zip(bounds, owned_sums(bounds), strict=True):
        tokens = np.r_[:before, before + start : before + end, stop : stop + after]
        inputs = {name: values[tokens] for name, values in window.inputs.items()}
        # Positions in a window count its special tokens and start anew, both for the first and the last token.
        shift = 2 * (before - start)
        sums = (low + shift, high + shift)
        yield TokenWindow(window.sample, inputs, window.offsets[tokens], window.span_token_mask[..., tokens], sums)


def _tokenize(
    tokenizer: Tokenizer, documents: Sequence[_Document], word_aligned: bool, mark_capitals: bool
) -> Iterator[tuple[TokenWindow, int]]:
    """Tokenize texts, each into one window of any length.

    Yields:
        The window, and how many special tokens stand before the others.
    """
    samples, texts, words = zip(*((sample, *document) for sample, document in documents), strict=True)
    encoded = tokenizer(
        # Tokenizers cannot take lone surrogates; what stands for them keeps every offset.
        [_LONE_SURROGATE.sub("\ufffd", text) for text in texts],
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
        verbose=False,
    )
    specials, raw_offsets = encoded.pop("special_tokens_mask"), encoded.pop("offset_mapping")
    lengths = [len(row) for row in specials]
    inputs = {name: np.fromiter(chain.from_iterable(rows), np.int32) for name, rows in encoded.items()}
    # All texts as one, separated by line breaks, as arrays of a few tokens cost as much as those of thousands.
    kinds = character_kinds("\n".join(texts))
    text_starts = list(accumulate((len(text) + 1 for text in texts), initial=0))[:-1]
    shift = np.repeat(text_starts, lengths)[:, None]
    flat = np.fromiter(chain.from_iterable(chain.from_iterable(raw_offsets)), np.int64)
    offsets = trim_offsets(kinds, flat.reshape(-1, 2) + shift)
    is_edge = offsets[:, 0] < offsets[:, 1]
    if mark_capitals:
        inputs["token_type_ids"] = (is_edge & _capitals(kinds, text_starts)[offsets[:, 0]]).astype(np.int32)
    if word_aligned:
        is_boundary = np.tile(boundaries_of_kinds(kinds), (2, 1))
        for start, text, given in zip(text_starts, texts, words, strict=True):
            if given is not None:
                is_boundary[:, start : start + len(text) + 1] = word_boundaries(text, given)
        is_edge = is_edge & np.take_along_axis(is_boundary, offsets.T, axis=1)
    offsets, mask = (offsets - shift).astype(np.int32), is_edge.astype(np.int32)
    for sample, special, (start, end) in zip(samples, specials, pairwise(accumulate(lengths, initial=0)), strict=True):
        own = {name: values[start:end] for name, values in inputs.items()}
        window = TokenWindow(sample, own, offsets[start:end], mask[..., start:end], _ALL_SPANS)
        yield window, [*special, 0].index(0)


def _capitals(kinds: NDArray[np.uint8], text_starts: Sequence[int]) -> NDArray[np.bool_]:
    """Where capital letters are, `(characters + 1,)`, but in texts without small letters.

    Args:
        kinds (`np.ndarray` of shape `(characters,)`): What the characters of all texts are.
        text_starts (`Sequence[int]`): Where each text starts.
    """
    kinds = np.append(kinds, 0)
    has_small = np.logical_or.reduceat(kinds & SMALL != 0, text_starts)
    capitals: NDArray[np.bool_] = kinds & CAPITAL != 0
    capitals &= np.repeat(has_small, np.diff([*text_starts, len(kinds)]))
    return capitals
