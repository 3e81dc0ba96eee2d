"""The pipeline task `global-pointer-ner`."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain, pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import Pipeline

from .span_decoding import CharSpan, Overlap, PredictedEntity, entities_of, is_count, merge_spans, select_spans
from .token_windows import TokenWindow, batches_by_characters, token_windows, window_size


# How many batches are tokenized and sorted by length together, of texts that have this many characters on average;
# of longer ones, fewer are.
BATCHES_AT_ONCE = 64
_BATCHES_OF_A_LIST = 256
_CHARACTERS = 256
# On a CPU, an encoder takes about as long for these tokens as for a batch, however small, of its own; a GPU takes most
# batches in the same time.
_TOKENS_FOR_A_BATCH = 64


class Document(NamedTuple):
    """One input: a text, and where its words begin and end, if they were given."""

    text: str
    words: list[tuple[int, int]] | None


class GlobalPointerNerPipeline(Pipeline):
    """Named-entity recognition with a GlobalPointer model, nested entities included.

    Takes a text, a list of texts, or any iterable of texts (a generator, a data set with a column `text`), and texts
    of any length: long ones are cut into overlapping windows. The result for a text is a list of
    `{"entity_group", "score", "word", "start", "end"}`, ordered by start, then the longer first, then label. `start`
    and `end` are characters of the text, `word == text[start:end]`, and `score` is the sigmoid of the span's score
    less `config.score_threshold`, in the window in whose middle the span lies. The result for a list
    is a list; that for another iterable comes lazily, in order.

    With a `batch_size` above 1, texts are sorted by length, so that a batch has little padding: those of a list within
    256 batches, those of a lazy iterable within the 64 batches that are read ahead of it, or fewer where texts have
    more than 256 characters on average. On a CPU, a batch ends early where more would be lost to padding.

    Args:
        batch_size (`int`, *optional*, defaults to 1): Windows in a batch, at most.
        threshold (`float` or `dict[str, float]`, *optional*):
            Probability above which a span is an entity, for all labels or label by label; for labels not given, the
            one in the model's configuration, or else 0.5.
        overlap (`str`, *optional*, defaults to `config.overlap`):
            Which entities may go together: `"all"`; `"nested"`, those that lie apart or one within the other;
            `"flat"`, those that lie apart. The higher score wins; see [`select_spans`].
        top_k (`int`, *optional*): Keep no more than this many entities of a text, those that score highest.
        max_spans (`int`, *optional*, defaults to `config.max_spans`):
            Keep no more than this many spans of a window, before anything else is chosen.
        max_length (`int`, *optional*, defaults to `config.max_length`, or else what the encoder takes):
            The tokens of a window, special ones included.
        stride (`int`, *optional*, defaults to a quarter of a window, or `config.max_span_length` if that is more):
            The tokens that neighboring windows of a long text share at least: the length up to which no entity is
            cut.
        on_long (`str`, *optional*, defaults to `"window"`): `"error"` to refuse texts that need more than one window.
        word_aligned (`bool`, *optional*, defaults to `config.word_aligned`):
            Whether entities begin and end where words do; see [`word_boundaries`].
        is_split_into_words (`bool`, *optional*, defaults to `False`):
            Whether each input is a list of words instead of a text. `start` and `end` are then characters of the words
            joined by `delimiter`, and `word_aligned` goes by these words.
        delimiter (`str`, *optional*, defaults to `" "`): What to join words by.

    Raises:
        TypeError: If an input is no text, or no list of words.
        ValueError: If an option has a value it cannot have, a text is too long for `on_long="error"`, or weights of
            the model's span head were missing in its checkpoint.
        FloatingPointError: If the model's scores are no finite numbers.

    Example:
        ```python
        >>> recognize = pipeline("global-pointer-ner", model="path/to/checkpoint")
        >>> recognize(["The University of Leeds moved.", "So did we."], batch_size=8, threshold={"place": 0.7})
        ```
    """

    _load_tokenizer = True
    _load_image_processor = False
    _load_feature_extractor = False
    _load_processor = False

    def __init__(self, model: Any, *args: Any, **kwargs: Any) -> None:
        # By name: the class may be one of PEFT around the model, or that of code saved with the checkpoint.
        if not model.config.model_type.endswith("global-pointer"):
            raise ValueError(
                f"The task global-pointer-ner needs a GlobalPointer model, got {type(model).__name__}; fine-tune "
                "one, or use the task token-classification."
            )
        if model.missing_head_weights:
            raise ValueError(
                f"The checkpoint of this model lacks weights of its span head ({', '.join(model.missing_head_weights)}"
                "), so that it would find entities at random; take a whole checkpoint, or train it again."
            )
        super().__init__(model, *args, **kwargs)
        # Here, as what is wrong with the tokenizer must come out before the first text.
        self._window(None, None)

    def __call__(
        self, inputs: Any, batch_size: int | None = None, num_workers: int | None = None, **options: Any
    ) -> Any:
        """Recognize the entities of a text, or of each of many; arguments as those of the class.

        `num_workers`, which pipelines take, has no effect: texts are tokenized in threads.
        """
        # Of a model that is being trained, too.
        self.model.eval()
        preprocess, forward, postprocess = (
            {**defaults, **given}
            for defaults, given in zip(
                (self._preprocess_params, self._forward_params, self._postprocess_params),
                self._sanitize_parameters(**options),
                strict=True,
            )
        )
        size = next(given for given in (batch_size, self._batch_size, 1) if given is not None)
        if not is_count(size, at_least=1):
            raise ValueError(f"`batch_size` must be a whole number of at least 1, got {size!r}.")
        split, delimiter = preprocess.pop("is_split_into_words", False), preprocess.pop("delimiter", " ")
        refuses_long = preprocess.pop("on_long", "window") == "error"
        is_words = split and isinstance(inputs, (list, tuple))
        is_single = isinstance(inputs, (str, bytes, Mapping)) or bool(
            is_words and inputs and all(isinstance(word, str) for word in inputs)
        )
        try:
            many = iter([inputs] if is_single else inputs)
        except TypeError:
            raise TypeError(
                f"global-pointer-ner takes text (`str`) or many of them, got {type(inputs).__name__}."
            ) from None
        documents = (_document(one, split, delimiter) for one in many)
        is_list = isinstance(inputs, (list, tuple))
        at_once = size * (_BATCHES_OF_A_LIST if is_list else BATCHES_AT_ONCE) if size > 1 else 1
        results = self._recognize(documents, size, at_once, refuses_long, preprocess, forward, postprocess)
        if is_single:
            return next(results)
        return list(results) if is_list else results

    def save_pretrained(self, save_directory: str | os.PathLike[str], with_code: bool = False, **kwargs: Any) -> None:
        """Save model and tokenizer.

        Args:
            save_directory (`str` or `os.PathLike`): The folder.
            with_code (`bool`, *optional*, defaults to `False`): Whether to write code too, as the model's method does.
            kwargs: Passed on to both, such as `push_to_hub`.
        """
        code = {"with_code": True} if with_code else {}
        self.model.save_pretrained(save_directory, **code, **kwargs)
        self.tokenizer.save_pretrained(save_directory, **kwargs)

    def _sanitize_parameters(
        self,
        threshold: float | dict[str, float] | None = None,
        overlap: Overlap | None = None,
        top_k: int | None = None,
        max_spans: int | None = None,
        max_length: int | None = None,
        stride: int | None = None,
        on_long: str | None = None,
        word_aligned: bool | None = None,
        is_split_into_words: bool | None = None,
        delimiter: str | None = None,
    ) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        preprocess = {
            "max_length": max_length,
            "stride": stride,
            "on_long": on_long,
            "word_aligned": word_aligned,
            "is_split_into_words": is_split_into_words,
            "delimiter": delimiter,
        }
        forward = {"threshold": threshold, "max_spans": max_spans}
        postprocess = {"overlap": overlap, "top_k": top_k}
        # What is wrong must come out at the call, not at the first text.
        if on_long not in (None, "window", "error"):
            raise ValueError(f'`on_long` must be "window" or "error", got {on_long!r}.')
        for name, value, least in (("max_spans", max_spans, 1), ("max_length", max_length, 1), ("stride", stride, 0)):
            if value is not None and not is_count(value, least):
                raise ValueError(f"`{name}` must be a whole number of at least {least}, got {value!r}.")
        for name, value in (("word_aligned", word_aligned), ("is_split_into_words", is_split_into_words)):
            if not isinstance(value, bool | None):
                raise ValueError(f"`{name}` must be True or False, got {value!r}.")
        if not isinstance(delimiter, str | None):
            raise ValueError(f"`delimiter` must be a string, got {delimiter!r}.")
        self.model.label_thresholds(threshold)
        select_spans([], "all" if overlap is None else overlap, top_k)
        self._window(max_length, stride)
        given = [{k: v for k, v in part.items() if v is not None} for part in (preprocess, forward, postprocess)]
        return given[0], given[1], given[2]

    def _window(self, max_length: int | None, stride: int | None) -> tuple[int, int]:
        """The tokens of a window, and those that neighboring ones share."""
        config = self.model.config
        max_length = config.max_length if max_length is None else max_length
        return window_size(self.tokenizer, self.model.max_positions(), max_length, stride, config.max_span_length)

    def _recognize(
        self,
        documents: Iterator[Document],
        batch_size: int,
        at_once: int,
        refuses_long: bool,
        preprocess: dict[str, Any],
        forward: dict[str, Any],
        postprocess: dict[str, Any],
    ) -> Iterator[list[PredictedEntity]]:
        labels = self.model.config.id2label
        done = 0
        for some in batches_by_characters(
            documents, at_once, at_once * _CHARACTERS, lambda document: len(document.text)
        ):
            windows = self.preprocess(some, **preprocess)
            long = _first_long(windows) if refuses_long else None
            if long is not None:
                # What comes before it comes out first.
                refused, some = some[long], some[:long]
                windows = [window for window in windows if window.sample < long]
            spans: list[list[CharSpan]] = [[] for _ in some]
            windows = [window for window in windows if window.span_token_mask.any()]
            for batch in self._batches(windows, batch_size):
                columns = self.forward(self._collate(batch), **forward)
                rows = zip(*(columns[name].tolist() for name in ("row", "start", "end", "type", "score")), strict=True)
                for row, start, end, kind, score in rows:
                    spans[batch[row].sample].append(CharSpan(start, end, labels[kind], score))
            for document, found in zip(some, spans, strict=True):
                yield self.postprocess(document, found, **postprocess)
            done += len(some)
            if long is not None:
                raise ValueError(
                    f"Text {done} (the first is 0), of {len(refused.text)} characters, has more tokens than "
                    f'one window takes, and `on_long` is "error": {refused.text[:80]!r}...'
                )

    def preprocess(
        self,
        documents: Sequence[Document],
        max_length: int | None = None,
        stride: int | None = None,
        word_aligned: bool | None = None,
    ) -> list[TokenWindow]:
        """Tokenize documents into windows."""
        if word_aligned is None:
            word_aligned = self.model.config.word_aligned
        texts, words = zip(*documents, strict=True)
        some = token_windows(self.tokenizer, texts, *self._window(max_length, stride), word_aligned, words)
        return list(chain.from_iterable(some))

    def _batches(self, windows: list[TokenWindow], batch_size: int) -> Iterator[list[TokenWindow]]:
        """Windows of about the same length, the longest first."""
        windows = sorted(windows, key=lambda window: len(window.offsets), reverse=True)
        lengths = np.array([len(window.offsets) for window in windows])
        begin = 0
        while begin < len(windows):
            some = lengths[begin : begin + batch_size]
            # The padding that is saved if the batch ends before each window.
            saved = (some[0] - some) * np.arange(len(some), 0, -1)
            cut = int(saved.argmax())
            end = begin + (cut if self.device.type == "cpu" and saved[cut] > _TOKENS_FOR_A_BATCH else len(some))
            yield windows[begin:end]
            begin = end

    def _collate(self, windows: Sequence[TokenWindow]) -> dict[str, Tensor]:
        """Pad windows to a batch of tensors."""
        longest = max(len(window.offsets) for window in windows)
        # Without a token for padding, any will do: what is masked has no effect.
        fills = {"input_ids": self.tokenizer.pad_token_id or 0, "token_type_ids": self.tokenizer.pad_token_type_id}
        batch = {
            name: _padded([window.inputs[name] for window in windows], longest, fills.get(name, 0))
            for name in windows[0].inputs
        }
        return {
            **batch,
            "offsets": _padded([window.offsets.T for window in windows], longest),
            "sums": torch.tensor([window.sums for window in windows]),
            "span_token_mask": _padded([window.span_token_mask for window in windows], longest),
        }

    def _forward(
        self,
        model_inputs: dict[str, Tensor],
        threshold: float | dict[str, float] | None = None,
        max_spans: int | None = None,
    ) -> dict[str, Tensor]:
        """Score, decode and turn tokens into characters on the model's device; only the entities leave it."""
        offsets, sums = model_inputs.pop("offsets"), model_inputs.pop("sums")
        found = self.model.decode(self.model.span_scores(**model_inputs), threshold, max_spans)
        # Of what several windows hold, each gives its own.
        sum = found.spans[..., 1] + found.spans[..., 2]
        is_own = (found.spans[..., 0] >= 0) & (sum >= sums[:, :1]) & (sum < sums[:, 1:])
        row, place = is_own.nonzero().unbind(-1)
        types, first, last = found.spans[row, place].unbind(-1)
        # Not all devices have double precision.
        score = (found.scores[row, place].cpu().double() - self.model.config.score_threshold).sigmoid()
        columns = {"row": row, "start": offsets[row, 0, first], "end": offsets[row, 1, last], "type": types}
        return {**columns, "score": score}

    def postprocess(
        self, document: Document, spans: Iterable[CharSpan], overlap: Overlap | None = None, top_k: int | None = None
    ) -> list[PredictedEntity]:
        """Merge the windows of one document and choose among its spans."""
        overlap = self.model.config.overlap if overlap is None else overlap
        return entities_of(document.text, select_spans(merge_spans(spans), overlap, top_k))


def _document(one: Any, is_split_into_words: bool, delimiter: str) -> Document:
    if isinstance(one, Mapping) and "text" in one:
        one = one["text"]
    if not is_split_into_words:
        if not isinstance(one, str):
            raise TypeError(
                f"global-pointer-ner takes text (`str`), or rows with a `text`, got {type(one).__name__}; for lists "
                "of words, give `is_split_into_words=True`."
            )
        return Document(one, None)
    if isinstance(one, str) or not isinstance(one, Sequence) or not all(isinstance(word, str) for word in one):
        raise TypeError(f"With `is_split_into_words`, each input must be a list of words (`str`), got {one!r:.80}.")
    words, start = [], 0
    for word in one:
        # As tokens have none, a word has no whitespace at its ends.
        if stripped := word.strip():
            begin = start + word.index(stripped)
            words.append((begin, begin + len(stripped)))
        start += len(word) + len(delimiter)
    return Document(delimiter.join(one), words)


def _padded(rows: Sequence[NDArray[np.int32]], length: int, fill: int = 0) -> Tensor:
    """Arrays `(..., n)` of different `n` in one tensor `(len(rows), ..., length)`.

    They are padded on the right, which leaves the positions of all tokens as they are for a text alone.
    """
    padded = np.full((len(rows), *rows[0].shape[:-1], length), fill, dtype=np.int64)
    for place, row in zip(padded, rows, strict=True):
        place[..., : row.shape[-1]] = row
    return torch.from_numpy(padded)


def _first_long(windows: Sequence[TokenWindow]) -> int | None:
    """The first document that has more than one window."""
    return next((a.sample for a, b in pairwise(windows) if a.sample == b.sample), None)
