"""From entities in characters to labels in tokens, with an account of what could not be aligned."""

import gc
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cache
from itertools import chain, compress, pairwise
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from ..modeling.token_windows import Integers, TokenWindow, token_windows, window_size
from ..modeling.words import word_boundaries
from .examples import DataError, Entity, Example


OnUnaligned = Literal["drop", "expand", "error"]
_NO_KEY = np.iinfo(np.int64).max
_NO_TOKEN = "begins or ends where no token does"
_IN_WORD = "begins or ends inside a word"
_CUT = "is cut by every window"
_TOO_LONG = "has more tokens than `max_span_length` allows"


@dataclass(frozen=True)
class UnalignedEntity:
    """An entity that no sequence of whole tokens spells, and why.

    Args:
        example (`Example`): Where it is.
        entity (`Entity`): The entity.
        reason (`str`): Why it does not align.
        expanded (`Entity`, *optional*): What the label stands for instead; without it, the entity was dropped.
        merged (`bool`, *optional*, defaults to `False`):
            Whether that is another entity too, so that one label stands for both.
    """

    example: Example
    entity: Entity
    reason: str
    expanded: Entity | None = None
    merged: bool = False

    def __str__(self) -> str:
        text = f"{self.example.name}: {_quoted(self.example, self.entity)} {self.reason}"
        if self.expanded is None:
            return text
        also = ", which is labeled already" if self.merged else ""
        return f"{text}; expanded to {_quoted(self.example, self.expanded)}{also}"


@dataclass
class AlignmentReport:
    """How many entities became labels, and which did not, or not as they are.

    Args:
        num_entities (`int`): Distinct entities seen.
        unaligned (`list[UnalignedEntity]`): Those that no label stands for exactly: dropped or expanded.
    """

    num_entities: int = 0
    unaligned: list[UnalignedEntity] = field(default_factory=list)

    @property
    def num_aligned(self) -> int:
        """The number of entities that a label stands for exactly."""
        return self.num_entities - len(self.unaligned)

    @property
    def expanded(self) -> list[UnalignedEntity]:
        """The entities whose label stands for more characters, or fewer spaces, than they have."""
        return [item for item in self.unaligned if item.expanded is not None]

    @property
    def dropped(self) -> list[UnalignedEntity]:
        """The entities that no label stands for."""
        return [item for item in self.unaligned if item.expanded is None]

    @property
    def unaligned_counts(self) -> Counter[str]:
        """The number of unaligned entities of each label: those that a model cannot find, for `ComputeSpanMetrics`.

        Raises:
            ValueError: If entities were expanded. A model that predicts such a label would be counted right, though
                it gives other characters than the entity has, so the labels are not fit for scores.
        """
        if self.expanded:
            raise ValueError(
                f"{len(self.expanded)} labels stand for expanded entities, and scores on them would be too good; "
                'encode the examples that scores are computed on with `on_unaligned="drop"`.'
            )
        return Counter(item.entity.label for item in self.unaligned)

    def summary(self, limit: int = 5) -> str:
        """One line with the counts, then up to `limit` of the unaligned entities, a line each."""
        counts = {"expanded": len(self.expanded), "dropped": len(self.dropped)}
        others = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
        first = f"{self.num_aligned} of {self.num_entities} entities aligned with the tokens"
        lines = [f"{first}; {others}." if others else f"{first}."]
        lines += [f"  not aligned: {item}" for item in self.unaligned[:limit]]
        if len(self.unaligned) > limit:
            lines.append(f"  ... and {len(self.unaligned) - limit} more")
        return "\n".join(lines)


def encode_examples(
    examples: Iterable[Example],
    tokenizer: PreTrainedTokenizerBase,
    label2id: dict[str, int],
    max_length: int | None = None,
    stride: int | None = None,
    word_aligned: bool = False,
    on_unaligned: OnUnaligned = "drop",
    max_span_length: int | None = None,
) -> tuple[list[dict[str, Any]], AlignmentReport]:
    """Tokenize examples into features for training and evaluation, one for each window of a text.

    Args:
        examples (`Iterable[Example]`): The examples.
        tokenizer (`PreTrainedTokenizerBase`): A fast tokenizer.
        label2id (`dict[str, int]`): The entity types of the model.
        max_length (`int`, *optional*, defaults to the tokenizer's `model_max_length`):
            The longest window in tokens; longer texts are cut into overlapping ones.
        stride (`int`, *optional*, defaults to a quarter of `max_length`, or `max_span_length` if that is more):
            The tokens that neighboring windows share at least.
        word_aligned (`bool`, *optional*, defaults to `False`):
            Whether only spans that begin and end where words do take part; as in the model's configuration.
        on_unaligned (`str`, *optional*, defaults to `"drop"`):
            What becomes of an entity that no sequence of whole tokens spells: `"drop"`, it has no label; `"expand"`,
            for training, its label is the smallest span of whole tokens that covers every token it touches (two that
            then coincide and have one type count once); `"error"`. One that no window holds whole, or that has too
            many tokens, is dropped in any case but the last. All are in the report.
        max_span_length (`int`, *optional*): The most tokens of an entity; as in the model's configuration.

    Returns:
        The features, each with `input_ids`, `attention_mask`, ..., `span_token_mask` and `labels`, a list of
        [type, first token, last token]; and the report.

    Raises:
        DataError: If an entity's label is not in `label2id`, or, with `on_unaligned="error"`, one does not align.
        ValueError: If `on_unaligned` is none of the three.
    """
    if on_unaligned not in get_args(OnUnaligned):
        raise ValueError(f"`on_unaligned` must be one of {', '.join(get_args(OnUnaligned))}, got {on_unaligned!r}.")
    examples = list(examples)
    features: list[dict[str, Any]] = []
    aligner = _Aligner(examples, label2id, on_unaligned, word_aligned, max_span_length)
    if examples:
        max_length, stride = window_size(tokenizer, None, max_length, stride, max_span_length)
        texts = [example.text for example in examples]
        with _uncollected():
            for windows in token_windows(tokenizer, texts, max_length, stride, word_aligned):
                features += _features(windows, aligner.label(_joined(windows)))
    return features, aligner.report


def _features(windows: Iterable[TokenWindow], labels: Iterable[list[list[int]]]) -> Iterator[dict[str, Any]]:
    """A feature for each window."""
    for window, rows in zip(windows, labels, strict=True):
        feature: dict[str, Any] = {name: values.tolist() for name, values in window.inputs.items()}
        yield {**feature, "span_token_mask": window.span_token_mask.tolist(), "labels": rows}


@dataclass(frozen=True)
class TokenWindows:
    """The tokens of windows, one after another."""

    samples: Integers
    begins: Integers
    offsets: NDArray[np.int32]
    span_token_mask: NDArray[np.int32]


def _joined(windows: Sequence[TokenWindow]) -> TokenWindows:
    return TokenWindows(
        np.array([window.sample for window in windows]),
        np.cumsum([0, *(len(window.offsets) for window in windows)]),
        np.concatenate([window.offsets for window in windows]),
        np.concatenate([window.span_token_mask for window in windows], axis=-1),
    )


@contextmanager
def _uncollected() -> Iterator[None]:
    """Pause the garbage collector, which would look through all features again and again; none of them is garbage."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


# An entity of one of many texts: sample, start, end, position of its label in `label2id`.
_Span = tuple[int, int, int, int]


@dataclass
class _Aligner:
    """Labels windows with the entities of the examples, of which some may align with no tokens: these it reports."""

    examples: Sequence[Example]
    label2id: dict[str, int]
    on_unaligned: OnUnaligned
    word_aligned: bool
    max_span_length: int | None
    report: AlignmentReport = field(default_factory=AlignmentReport)

    def label(self, windows: TokenWindows) -> list[list[list[int]]]:
        """The label rows of each window."""
        samples = range(windows.samples[0], windows.samples[-1] + 1)
        spans = self._spans(samples)
        longest = max(len(self.examples[sample].text) for sample in samples)
        finder = _TokenFinder(windows, longest, self.max_span_length)
        aligned, rows = finder.find(spans)
        self.report.num_entities += len(spans)
        if not aligned.all():
            more = self._account(finder, set(compress(spans, aligned)), list(compress(spans, ~aligned)))
            rows = np.concatenate([rows, more])
        rows[:, 1] = np.array([*self.label2id.values()], dtype=np.int64)[rows[:, 1]]
        rows = rows[rows[:, 0].argsort(kind="stable")]
        begins = rows[:, 0].searchsorted(np.arange(len(windows.samples) + 1))
        lists = rows[:, 1:].tolist()
        return [lists[begin:end] for begin, end in pairwise(begins.tolist())]

    def _spans(self, samples: Iterable[int]) -> list[_Span]:
        """The distinct entities of some examples, in order."""
        positions = {label: position for position, label in enumerate(self.label2id)}
        spans = set()
        for sample in samples:
            for entity in self.examples[sample].entities:
                position = positions.get(entity.label)
                if position is None:
                    raise DataError(
                        f"{self.examples[sample].name}: label {entity.label!r} is none of the model's labels "
                        f"({', '.join(self.label2id)}); correct it, or train with examples of it."
                    )
                spans.add((sample, entity.start, entity.end, position))
        return sorted(spans)

    def _account(self, finder: "_TokenFinder", labeled: set[_Span], unaligned: Sequence[_Span]) -> Integers:
        """Report the unaligned beside those that have a label; the rows, as `find` gives them, of what is expanded."""
        wider = [finder.expanded(span) if self.on_unaligned == "expand" else None for span in unaligned]
        # Each once, though several entities may become it.
        new = list(dict.fromkeys(span for span in wider if span is not None and span not in labeled))
        is_held, rows = finder.find(new)
        held = set(compress(new, is_held))
        labels = list(self.label2id)
        boundaries = cache(lambda sample: word_boundaries(self.examples[sample].text))
        for span, other in zip(unaligned, wider, strict=True):
            sample, start, end, label = span
            in_word = self.word_aligned and not boundaries(sample)[[start, end]].all()
            reason = _IN_WORD if in_word else finder.why_not(span)
            expanded, merged = None, other in labeled
            if other is not None and (merged or other in held):
                expanded = Entity(*other[1:3], labels[label])
                labeled.add(other)
            elif other is not None:
                reason = finder.why_not(other)
            entity = Entity(start, end, labels[label])
            item = UnalignedEntity(self.examples[sample], entity, reason, expanded, merged)
            if self.on_unaligned == "error":
                raise DataError(
                    f"{item}; correct its start and end, take longer windows or a longer stride if it is cut, or "
                    'choose `on_unaligned="drop"` or `"expand"`.'
                )
            self.report.unaligned.append(item)
        return rows


class _TokenFinder:
    """Finds the tokens of spans in many windows at once.

    One character may be several tokens, all with its offsets: a span takes them all in, from the first to the last.

    Args:
        windows (`TokenWindows`): The windows of neighboring texts.
        longest (`int`): The characters of the longest text.
        max_span_length (`int`, *optional*): The most tokens of a span.
    """

    def __init__(self, windows: TokenWindows, longest: int, max_span_length: int | None) -> None:
        self._max_span_length = len(windows.offsets) if max_span_length is None else max_span_length
        self._samples, self._begins = windows.samples, windows.begins
        self._starts, self._ends = windows.offsets.T
        self._may_begin, self._may_end = np.broadcast_to(windows.span_token_mask == 1, windows.offsets.T.shape)
        self._width = longest + 1
        # The first and the last character that each window reaches, text and character in one number. Both go up,
        # whatever order a tokenizer gives its tokens.
        texts = windows.samples * self._width
        starts = np.where(self._starts < self._ends, self._starts, longest)
        # What is added changes nothing, but lets windows without tokens begin at the end.
        reach_from = texts + np.minimum.reduceat(np.append(starts, longest), self._begins[:-1])
        reach_to = texts + np.maximum.reduceat(np.append(self._ends, 0), self._begins[:-1])
        self._reach_from = np.minimum.accumulate(reach_from[::-1])[::-1]
        self._reach_to = np.maximum.accumulate(reach_to)
        # The tokens that may begin or end a span, and their window and character in one number, in order of it; a
        # stable sort leaves the tokens of one character in their order.
        windows_before = np.repeat(np.arange(len(texts)) * self._width, np.diff(self._begins))
        self._first, self._first_keys = _in_order(self._may_begin, windows_before + self._starts)
        self._last, self._last_keys = _in_order(self._may_end, windows_before + self._ends)

    def find(self, spans: Sequence[_Span]) -> tuple[NDArray[np.bool_], Integers]:
        """Find the tokens of spans.

        Returns:
            Whether any window holds each span `(n,)`; and, for each window that holds one, its number, the label, and
            the first and last token there `(m, 4)`.
        """
        flat = np.fromiter(chain.from_iterable(spans), np.int64, 4 * len(spans))
        sample, start, end, label = flat.reshape(-1, 4).T
        # Each span once for each window that reaches from its start to its end.
        begin = self._reach_to.searchsorted(sample * self._width + end, side="left")
        counts = np.maximum(self._reach_from.searchsorted(sample * self._width + start, side="right") - begin, 0)
        number = np.repeat(np.arange(len(spans)), counts)
        window = np.arange(len(number)) + np.repeat(begin - counts.cumsum() + counts, counts)
        start, end = start[number] + window * self._width, end[number] + window * self._width
        first = self._first_keys.searchsorted(start, side="left")
        last = self._last_keys.searchsorted(end, side="right") - 1
        held = (self._first_keys[first] == start) & (self._last_keys[last] == end)
        number, window, first, last = number[held], window[held], self._first[first[held]], self._last[last[held]]
        short = last - first < self._max_span_length
        number, window, first, last = number[short], window[short], first[short], last[short]
        begin = self._begins[window]
        is_held = np.bincount(number, minlength=len(spans)) > 0
        return is_held, np.stack([window, label[number], first - begin, last - begin], axis=1)

    def why_not(self, span: _Span) -> str:
        """Why no window holds a span."""
        sample, start, end, _ = span
        keys = np.arange(*self._windows_of(sample)) * self._width
        begins, ends = _among(keys + start, self._first_keys), _among(keys + end, self._last_keys)
        if not begins.any() or not ends.any():
            return _NO_TOKEN
        return _TOO_LONG if (begins & ends).any() else _CUT

    def expanded(self, span: _Span) -> _Span | None:
        """The smallest span of whole tokens that covers every token a span touches; None where it touches none.

        It is found in all windows of the text together, so that no span ends where a window happens to.
        """
        sample, start, end, label = span
        part = slice(*self._begins[self._windows_of(sample)])
        starts, ends = self._starts[part], self._ends[part]
        touched = (starts < ends) & (starts < end) & (ends > start)
        if not touched.any():
            return None
        before = starts[self._may_begin[part] & (starts <= starts[touched].min())]
        after = ends[self._may_end[part] & (ends >= ends[touched].max())]
        if not before.size or not after.size:
            return None
        return sample, int(before.max()), int(after.min()), label

    def _windows_of(self, sample: int) -> Integers:
        """The first window of a text, and the one after its last."""
        return self._samples.searchsorted([sample, sample + 1])


def _in_order(wanted: NDArray[np.bool_], keys: Integers) -> tuple[Integers, Integers]:
    """The wanted of some tokens in the order of their keys, and these, with one above all others at the end."""
    tokens = wanted.nonzero()[0]
    tokens = tokens[keys[tokens].argsort(kind="stable")]
    return tokens, np.append(keys[tokens], _NO_KEY)


def _among(keys: Integers, ordered: Integers) -> NDArray[np.bool_]:
    """Which keys are among these, which are in order and end with a key above all others."""
    return np.asarray(ordered[ordered.searchsorted(keys)] == keys)


def _quoted(example: Example, entity: Entity) -> str:
    return f"{example.text[entity.start : entity.end]!r} ({entity.label}, {entity.start}-{entity.end})"
