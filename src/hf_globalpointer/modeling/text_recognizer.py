"""Text in, entities out: all of recognition but the network, and so without torch and Transformers."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import chain, pairwise
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

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
from .span_probabilities import span_probability
from .token_windows import TokenWindow, batches_by_characters, pad_windows, token_windows, window_size


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

    @classmethod
    def of_call(cls, given: Mapping[str, Any]) -> Self:
        """The options of a call; one that is None is as if it were not given.

        Raises:
            TypeError: If there is no option of a name.
            ValueError: If one has a value that it cannot have.
        """
        names = [field.name for field in fields(cls)]
        if unknown := given.keys() - set(names):
            raise TypeError(f"There is no option {', '.join(sorted(unknown))}; there are {', '.join(names)}.")
        return cls(**{name: value for name, value in given.items() if value is not None})

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


class TextRecognizer(ABC):
    """Recognizes entities in texts of any length, with the options of [`GlobalPointerNerPipeline`].

    A subclass has a tokenizer and says what the network predicts for a batch of windows.
    """

    tokenizer: Any

    @property
    @abstractmethod
    def settings(self) -> Any:
        """A configuration, or what has the same fields as one."""

    @property
    @abstractmethod
    def max_positions(self) -> int | None:
        """The most tokens that the encoder has positions for, or `None` if nothing limits them."""

    @property
    @abstractmethod
    def pads_cheaply(self) -> bool:
        """Whether padding costs little, as on an accelerator."""

    @abstractmethod
    def predict_spans(
        self, inputs: Mapping[str, NDArray[np.int64]], options: Options
    ) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """The spans of a batch that score over their thresholds.

        Args:
            inputs (`Mapping[str, NDArray]`): What the encoder takes, each `(B, n)`, and `span_token_mask`.
            options (`Options`): Of which `threshold` and `max_spans` matter here.

        Returns:
            Rows (label, start token, end token) `(B, K, 3)`, padded with -100, and their scores `(B, K)`.
        """

    @abstractmethod
    def __call__(self, inputs: Any, batch_size: int = 1, **options: Any) -> Any:
        """Recognize the entities of a text, or of each of many; options as those of [`GlobalPointerNerPipeline`]."""

    @property
    def labels(self) -> list[str]:
        """The labels in the order of their ids."""
        return [self.settings.id2label[index] for index in range(len(self.settings.id2label))]

    def recognize(
        self, inputs: Any, batch_size: int, options: Options, on_batch: Callable[[int], None] | None = None
    ) -> Any:
        """The entities of a text, a list of them for a list of texts, an iterator for another iterable.

        Args:
            inputs: The text, or the texts.
            batch_size (`int`): Windows in a batch, at most.
            options (`Options`): Those of the call.
            on_batch (`Callable[[int], None]`, *optional*): Called after each batch with the number of its windows.

        Raises:
            TypeError: If an input is no text, or no list of words.
            ValueError: If `batch_size` is no whole number of at least 1, or a text is too long for
                `on_long="error"`.
        """
        if not is_count(batch_size, at_least=1):
            raise ValueError(f"`batch_size` must be a whole number of at least 1, got {batch_size!r}.")
        if _is_single(inputs, options.is_split_into_words):
            return next(self._recognize([inputs], 1, 1, options, on_batch))
        try:
            items = iter(inputs)
        except TypeError:
            message = f"global-pointer-ner takes text (`str`) or many of them, got {type(inputs).__name__}."
            raise TypeError(message) from None
        is_list = isinstance(inputs, (list, tuple))
        batches = _BATCHES_OF_A_LIST if is_list else _BATCHES_OF_A_STREAM
        num_sorted = batch_size * batches if batch_size > 1 else 1
        results = self._recognize(items, batch_size, num_sorted, options, on_batch)
        return list(results) if is_list else results

    def window_size(self, options: Options = Options()) -> tuple[int, int]:
        """The most tokens of a window, and the fewest that neighboring ones share.

        Raises:
            ValueError: If there can be no such windows.
        """
        settings = self.settings
        max_length = settings.max_length if options.max_length is None else options.max_length
        return window_size(self.tokenizer, self.max_positions, max_length, options.stride, settings.max_span_length)

    def _recognize(
        self,
        inputs: Iterable[Any],
        batch_size: int,
        num_sorted: int,
        options: Options,
        on_batch: Callable[[int], None] | None,
    ) -> Iterator[list[PredictedEntity]]:
        """Yield the entities of each input, in order; `num_sorted` of them are sorted by length into batches."""
        documents = (_document(item, options) for item in inputs)
        num_done = 0
        for group in batches_by_characters(
            documents, num_sorted, num_sorted * _CHARACTERS, lambda document: len(document.text)
        ):
            windows = self.windows(group, options)
            long = _first_long(windows) if options.on_long == "error" else None
            # What comes before a text that is refused comes out first.
            accepted = group[:long]
            spans = self.find_spans(windows, len(accepted), batch_size, options, on_batch)
            for document, found in zip(accepted, spans, strict=True):
                yield self.choose(document, found, options)
            num_done += len(accepted)
            if long is not None:
                text = group[long].text
                raise ValueError(
                    f"Text {num_done} (the first is 0), of {len(text)} characters, has more tokens than one window "
                    f'takes, and `on_long` is "error": {text[:80]!r}...'
                )

    def windows(self, documents: Sequence[Document], options: Options = Options()) -> list[TokenWindow]:
        """Tokenize documents into windows."""
        aligned = self.settings.word_aligned if options.word_aligned is None else options.word_aligned
        capitals = self.settings.mark_capitals
        texts, words = zip(*documents, strict=True)
        batches = token_windows(self.tokenizer, texts, *self.window_size(options), aligned, words, capitals)
        return list(chain.from_iterable(batches))

    def find_spans(
        self,
        windows: Iterable[TokenWindow],
        num_documents: int,
        batch_size: int,
        options: Options,
        on_batch: Callable[[int], None] | None,
    ) -> list[list[CharSpan]]:
        """The spans that score over their thresholds in each document, before any is chosen among them.

        Args:
            windows (`Iterable[TokenWindow]`): The windows of documents, as [`windows`] gives them.
            num_documents (`int`): Of how many documents, the first ones, spans are wanted.
            batch_size (`int`): Windows in a batch, at most.
            options (`Options`): Of which `threshold` and `max_spans` matter here.
            on_batch (`Callable[[int], None]`, *optional*): Called after each batch with the number of its windows.

        Returns:
            Spans of each document, with their scores; one that several windows hold may be there several times.

        Raises:
            FloatingPointError: If scores are no finite numbers.
        """
        spans: list[list[CharSpan]] = [[] for _ in range(num_documents)]
        windows = [window for window in windows if window.sample < num_documents and window.span_token_mask.any()]
        batches = list(self.batches(windows, batch_size))
        results = self.map_batches(lambda batch: self._spans_of(batch, options), batches)
        for batch, found_in_batch in zip(batches, results, strict=True):
            for window, found in zip(batch, found_in_batch, strict=True):
                spans[window.sample] += found
            if on_batch:
                on_batch(len(batch))
        return spans

    def map_batches(self, compute: Callable[[Any], Any], batches: Iterable[Any]) -> Iterator[Any]:
        """What is computed of each batch, in order."""
        return map(compute, batches)

    def batches(self, windows: list[TokenWindow], batch_size: int) -> Iterator[list[TokenWindow]]:
        """Windows of about the same length, the longest first."""
        windows = sorted(windows, key=lambda window: len(window.offsets), reverse=True)
        lengths = np.array([len(window.offsets) for window in windows])
        start = 0
        while start < len(windows):
            batch = lengths[start : start + batch_size]
            # The padding that is saved if the batch ends before each window.
            saved = (batch[0] - batch) * np.arange(len(batch), 0, -1)
            cut = int(saved.argmax())
            end = start + (len(batch) if self.pads_cheaply or saved[cut] <= _TOKENS_FOR_A_BATCH else cut)
            yield windows[start:end]
            start = end

    def _spans_of(self, windows: Sequence[TokenWindow], options: Options) -> list[list[CharSpan]]:
        """The spans of each window of a batch, in characters; of what several windows hold, each gives its own."""
        labels = self.settings.id2label
        rows, scores = self.predict_spans(pad_windows(windows, self.tokenizer), options)
        found: list[list[CharSpan]] = []
        for window, spans, values in zip(windows, rows, scores, strict=True):
            label, start_token, end_token = spans.T
            low, high = window.sums
            own = (label >= 0) & (low <= start_token + end_token) & (start_token + end_token < high)
            starts, ends = window.offsets[start_token[own], 0], window.offsets[end_token[own], 1]
            columns = (starts.tolist(), ends.tolist(), label[own].tolist(), values[own].tolist())
            found.append([CharSpan(a, b, labels[index], score) for a, b, index, score in zip(*columns, strict=True)])
        return found

    def choose(self, document: Document, spans: Iterable[CharSpan], options: Options) -> list[PredictedEntity]:
        """Merge the windows of one document and choose among its spans, by their scores; give their probabilities."""
        overlap = self.settings.overlap if options.overlap is None else options.overlap
        chosen = select_spans(merge_spans(spans), overlap, options.top_k)
        return entities_of(
            document.text,
            (span._replace(score=span_probability(self.settings, span.label, span.score)) for span in chosen),
        )


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
