"""Text to token windows that fit an encoder, with the character span of every token."""

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedConfig, PreTrainedTokenizerBase


_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
# Tokenizers without a limit say so with a huge number.
_NO_LIMIT = 1_000_000


@dataclass(frozen=True)
class TokenWindow:
    """A stretch of one text as an encoder sees it.

    Args:
        sample (`int`): The position of the text in the batch that was tokenised.
        inputs (`dict[str, list[int]]`): What the tokenizer returns for the encoder: `input_ids`, `attention_mask`, ...
        offsets (`np.ndarray` of shape `(n, 2)`): Start and end of each token in characters, see [`tidy_offsets`].
        span_token_mask (`np.ndarray` of shape `(n,)`): 1 for tokens that may begin or end a span: those that are not
            special and stand for more than blanks.
    """

    sample: int
    inputs: dict[str, list[int]]
    offsets: NDArray[np.int64]
    span_token_mask: NDArray[np.int64]


def max_tokens(tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig | None = None) -> int:
    """The most tokens, special ones included, that the tokenizer and, where given, the encoder take.

    Raises:
        ValueError: If nothing states a limit.
    """
    limit: int = tokenizer.model_max_length
    if config is not None:
        limit = min(limit, config.to_dict().get("max_position_embeddings") or _NO_LIMIT)
    if limit >= _NO_LIMIT:
        raise ValueError("Nothing limits the number of tokens of an input; set `tokenizer.model_max_length`.")
    return limit


def token_windows(
    tokenizer: PreTrainedTokenizerBase, texts: Sequence[str], max_length: int, stride: int | None = None
) -> list[TokenWindow]:
    """Tokenise texts into windows of at most `max_length` tokens; what does not fit goes on in the next window.

    Args:
        tokenizer (`PreTrainedTokenizerBase`): A fast tokenizer.
        texts (`Sequence[str]`): The texts.
        max_length (`int`): The length of a window in tokens, special ones included.
        stride (`int`, *optional*, defaults to a quarter of `max_length`): The tokens that neighbouring windows share.

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
        [_LONE_SURROGATE.sub("\ufffd", text) for text in texts],
        max_length=max_length,
        stride=stride,
        truncation=True,
        return_overflowing_tokens=True,
        return_offsets_mapping=True,
        return_special_tokens_mask=True,
    )
    samples = batch.pop("overflow_to_sample_mapping")
    all_offsets = batch.pop("offset_mapping")
    specials = batch.pop("special_tokens_mask")
    windows = []
    # A text is looked through once, not once for each of its windows.
    for sample, group in groupby(range(len(samples)), key=samples.__getitem__):
        indices = list(group)
        offsets = np.array([pair for index in indices for pair in all_offsets[index]], dtype=np.int64).reshape(-1, 2)
        ends = np.cumsum([len(all_offsets[index]) for index in indices])
        for index, part in zip(indices, np.split(tidy_offsets(texts[sample], offsets), ends[:-1]), strict=True):
            mask = (np.array(specials[index]) == 0) & (part[:, 0] < part[:, 1])
            inputs = {name: values[index] for name, values in batch.items()}
            windows.append(TokenWindow(sample, inputs, part, mask.astype(np.int64)))
    return windows


def tidy_offsets(text: str, offsets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Make token spans `(n, 2)` bound words: without blanks at either end, with the marks that follow.

    Some tokenizers count in the blank before a word. Some drop combining marks, as BERT's does with the accents of
    decomposed text; a mark that no token covers belongs to the token before it.
    """
    codes = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype=np.uint32)
    position = np.arange(len(codes) + 1)
    distinct, which = np.unique(codes, return_inverse=True)
    blank = np.array([chr(code).isspace() for code in distinct], dtype=bool)[which]
    mark = np.array([unicodedata.category(chr(code)).startswith("M") for code in distinct], dtype=bool)[which]
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


def _first_from(position: NDArray[np.int64], wanted: NDArray[np.bool_]) -> NDArray[np.int64]:
    """For each position, the first one from there on that is wanted; the last one always is."""
    return np.minimum.accumulate(np.where(wanted, position, len(position))[::-1])[::-1]
