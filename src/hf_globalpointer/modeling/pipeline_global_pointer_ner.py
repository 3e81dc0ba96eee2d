"""The pipeline task `global-pointer-ner`."""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import Pipeline

from .span_decoding import (
    CharSpan,
    Overlap,
    PredictedEntity,
    check_selection,
    entities_of,
    is_count,
    merge_spans,
    select_spans,
)
from .token_windows import TokenWindow, batches_by_characters, token_windows, window_size


# How many batches are tokenized and sorted by length together, of texts that have this many characters on average;
# of longer ones, fewer are.
_BATCHES_OF_A_STREAM, _BATCHES_OF_A_LIST = 64, 256
_CHARACTERS = 256
# On a CPU, an encoder takes about as long for these tokens as for a batch, however small, of its own; a GPU takes most
# batches in the same time.
_TOKENS_FOR_A_BATCH = 64


class Document(NamedTuple):
    """One input: a text, and start and end of its words, if they were given."""

    text: str
    words: list[tuple[int, int]] | None


@dataclass(frozen=True, kw_only=True)
class Options:
    """The options of a call, as documented at [`GlobalPointerNerPipeline`]; None for what the model says.

    Raises:
        ValueError: If one has a value that it cannot have, whatever the model.
    """

    threshold: float | dict[str, float] | None = None
    overlap: Overlap | None = None
    top_k: int | None = None
    max_spans: int | None = None
    max_length: int | None = None
    stride: int | None = None
    on_long: str = "window"
    word_aligned: bool | None = None
    is_split_into_words: bool = False
    delimiter: str = " "

    def __post_init__(self) -> None:
        check_selection("all" if self.overlap is None else self.overlap, self.top_k)
        if self.on_long not in ("window", "error"):
            raise ValueError(f'`on_long` must be "window" or "error", got {self.on_long!r}.')
        for name, least in (("max_spans", 1), ("max_length", 1), ("stride", 0)):
            value = getattr(self, name)
            if value is not None and not is_count(value, least):
                raise ValueError(f"`{name}` must be a whole number of at least {least}, got {value!r}.")
        for name in ("word_aligned", "is_split_into_words"):
            if not isinstance(getattr(self, name), bool | None):
                raise ValueError(f"`{name}` must be True or False, got {getattr(self, name)!r}.")
        if not isinstance(self.delimiter, str):
            raise ValueError(f"`delimiter` must be a string, got {self.delimiter!r}.")


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
                "), so that it would find entities at random; take a complete checkpoint, or train it again."
            )
        super().__init__(model, *args, **kwargs)
        # Here, as what is wrong with the tokenizer must come out before the first text.
        self._window_size(Options())

    def __call__(
        self, inputs: Any, batch_size: int | None = None, num_workers: int | None = None, **options: Any
    ) -> Any:
        """Recognize the entities of a text, or of each of many; arguments as those of the class.

        `num_workers`, which pipelines take, has no effect.
        """
        # Of a model that is being trained, too.
        self.model.eval()
        given, _, _ = self._sanitize_parameters(**options)
        settings = Options(**{**self._preprocess_params, **given})
        size = next(given for given in (batch_size, self._batch_size, 1) if given is not None)
        if not is_count(size, at_least=1):
            raise ValueError(f"`batch_size` must be a whole number of at least 1, got {size!r}.")
        if _is_single(inputs, settings.is_split_into_words):
            return next(self._recognize([inputs], 1, 1, settings))
        try:
            items = iter(inputs)
        except TypeError:
            message = f"global-pointer-ner takes text (`str`) or many of them, got {type(inputs).__name__}."
            raise TypeError(message) from None
        is_list = isinstance(inputs, (list, tuple))
        batches = _BATCHES_OF_A_LIST if is_list else _BATCHES_OF_A_STREAM
        results = self._recognize(items, size, size * batches if size > 1 else 1, settings)
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

    def _sanitize_parameters(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Check options, at the call and not at the first text; those that are given, in the first dictionary."""
        given = {name: value for name, value in options.items() if value is not None}
        checked = Options(**given)
        self.model.label_thresholds(checked.threshold)
        self._window_size(checked)
        return given, {}, {}

    def _window_size(self, options: Options) -> tuple[int, int]:
        """The most tokens of a window, and the fewest that neighboring ones share."""
        config = self.model.config
        max_length = config.max_length if options.max_length is None else options.max_length
        limit = self.model.max_positions()
        return window_size(self.tokenizer, limit, max_length, options.stride, config.max_span_length)

    def _recognize(
        self, inputs: Iterable[Any], batch_size: int, num_sorted: int, options: Options
    ) -> Iterator[list[PredictedEntity]]:
        """Yield the entities of each input, in order; `num_sorted` of them are sorted by length into batches."""
        documents = (_document(item, options) for item in inputs)
        num_done = 0
        for group in batches_by_characters(
            documents, num_sorted, num_sorted * _CHARACTERS, lambda document: len(document.text)
        ):
            windows = self.preprocess(group, options)
            long = _first_long(windows) if options.on_long == "error" else None
            # What comes before a text that is refused comes out first.
            accepted = group[:long]
            spans = self._find_spans(windows, len(accepted), batch_size, options)
            for document, found in zip(accepted, spans, strict=True):
                yield self.postprocess(document, found, options)
            num_done += len(accepted)
            if long is not None:
                text = group[long].text
                raise ValueError(
                    f"Text {num_done} (the first is 0), of {len(text)} characters, has more tokens than one window "
                    f'takes, and `on_long` is "error": {text[:80]!r}...'
                )

    def preprocess(self, documents: Sequence[Document], options: Options = Options()) -> list[TokenWindow]:
        """Tokenize documents into windows."""
        aligned = self.model.config.word_aligned if options.word_aligned is None else options.word_aligned
        texts, words = zip(*documents, strict=True)
        size = self._window_size(options)
        return list(chain.from_iterable(token_windows(self.tokenizer, texts, *size, aligned, words)))

    def _find_spans(
        self, windows: Iterable[TokenWindow], num_documents: int, batch_size: int, options: Options
    ) -> list[list[CharSpan]]:
        """The spans that are found in each of the first documents, in all its windows."""
        labels = self.model.config.id2label
        spans: list[list[CharSpan]] = [[] for _ in range(num_documents)]
        windows = [window for window in windows if window.sample < num_documents and window.span_token_mask.any()]
        for batch in self._batches(windows, batch_size):
            columns = self.forward(self._collate(batch), threshold=options.threshold, max_spans=options.max_spans)
            rows = zip(*(columns[name].tolist() for name in ("row", "start", "end", "label", "score")), strict=True)
            for row, start, end, label, score in rows:
                spans[batch[row].sample].append(CharSpan(start, end, labels[label], score))
        return spans

    def _batches(self, windows: list[TokenWindow], batch_size: int) -> Iterator[list[TokenWindow]]:
        """Windows of about the same length, the longest first."""
        windows = sorted(windows, key=lambda window: len(window.offsets), reverse=True)
        lengths = np.array([len(window.offsets) for window in windows])
        start = 0
        while start < len(windows):
            batch = lengths[start : start + batch_size]
            # The padding that is saved if the batch ends before each window.
            saved = (batch[0] - batch) * np.arange(len(batch), 0, -1)
            cut = int(saved.argmax())
            end = start + (cut if self.device.type == "cpu" and saved[cut] > _TOKENS_FOR_A_BATCH else len(batch))
            yield windows[start:end]
            start = end

    def _collate(self, windows: Sequence[TokenWindow]) -> dict[str, Tensor]:
        """Pad windows on the right, which leaves the positions of all tokens as they are for a text alone."""

        def padded(rows: Iterable[np.ndarray], fill: int = 0) -> Tensor:
            return pad_sequence([torch.from_numpy(row) for row in rows], batch_first=True, padding_value=fill).long()

        # Without a token for padding, any will do: what is masked has no effect.
        fills = {"input_ids": self.tokenizer.pad_token_id or 0, "token_type_ids": self.tokenizer.pad_token_type_id}
        inputs = {
            name: padded((window.inputs[name] for window in windows), fills.get(name, 0)) for name in windows[0].inputs
        }
        # Tokens come last in a mask that has two rows.
        mask = padded(window.span_token_mask.T for window in windows).movedim(1, -1)
        offsets = padded(window.offsets for window in windows)
        sums = torch.tensor([window.sums for window in windows])
        return {**inputs, "span_token_mask": mask, "offsets": offsets, "sums": sums}

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
        label, start_token, end_token = found.spans[row, place].unbind(-1)
        # Not all devices have double precision.
        score = (found.scores[row, place].cpu().double() - self.model.config.score_threshold).sigmoid()
        start, end = offsets[row, start_token, 0], offsets[row, end_token, 1]
        return {"row": row, "start": start, "end": end, "label": label, "score": score}

    def postprocess(self, document: Document, spans: Iterable[CharSpan], options: Options) -> list[PredictedEntity]:
        """Merge the windows of one document and choose among its spans."""
        overlap = self.model.config.overlap if options.overlap is None else options.overlap
        return entities_of(document.text, select_spans(merge_spans(spans), overlap, options.top_k))


def _is_single(inputs: Any, is_split_into_words: bool) -> bool:
    """Whether inputs are one text, row or list of words, or what is to be refused as such."""
    if isinstance(inputs, (str, bytes, Mapping)):
        return True
    is_list = is_split_into_words and isinstance(inputs, (list, tuple)) and len(inputs) > 0
    return is_list and all(isinstance(word, str) for word in inputs)


def _document(item: Any, options: Options) -> Document:
    """What one input holds.

    Raises:
        TypeError: If it is no text, or no list of words.
    """
    if isinstance(item, Mapping) and "text" in item:
        item = item["text"]
    if options.is_split_into_words:
        return _joined_words(item, options.delimiter)
    if not isinstance(item, str):
        raise TypeError(
            f"global-pointer-ner takes text (`str`), or rows with a `text`, got {type(item).__name__}; for lists "
            "of words, give `is_split_into_words=True`."
        )
    return Document(item, None)


def _joined_words(words: Any, delimiter: str) -> Document:
    if isinstance(words, str) or not isinstance(words, Sequence) or not all(isinstance(word, str) for word in words):
        raise TypeError(f"With `is_split_into_words`, each input must be a list of words (`str`), got {words!r:.80}.")
    bounds, offset = [], 0
    for word in words:
        # As tokens have none, a word has no whitespace at its ends.
        if stripped := word.strip():
            start = offset + word.index(stripped)
            bounds.append((start, start + len(stripped)))
        offset += len(word) + len(delimiter)
    return Document(delimiter.join(words), bounds)


def _first_long(windows: Sequence[TokenWindow]) -> int | None:
    """The first document that has more than one window."""
    return next((a.sample for a, b in pairwise(windows) if a.sample == b.sample), None)
