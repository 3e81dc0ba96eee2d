"""From entities in characters to labels in tokens, with an account of what could not be aligned."""

import gc
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import chain, compress, islice
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray
from transformers import PreTrainedTokenizerBase

from ..modeling.characters import word_boundaries
from ..modeling.token_windows import Integers, TokenWindow, max_tokens, windows_of_texts
from .schema import DataError, Entity, Example


OnUnaligned = Literal["drop", "expand", "error"]
# Examples that are aligned at once: enough for arrays to pay.
_EXAMPLES_AT_ONCE = 1000
_NO_KEY = np.iinfo(np.int64).max
_NO_TOKEN = "begins or ends where no token does"
_IN_WORD = "begins or ends inside a word"
_CUT = "is cut by every window"


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
        also = ", which is labelled already" if self.merged else ""
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
        """The entities whose label stands for more characters, or fewer blanks, than they have."""
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
) -> tuple[list[dict[str, Any]], AlignmentReport]:
    """Tokenise examples into features for training and evaluation, one for each window of a text.

    Args:
        examples (`Iterable[Example]`): The examples.
        tokenizer (`PreTrainedTokenizerBase`): A fast tokenizer.
        label2id (`dict[str, int]`): The entity types of the model.
        max_length (`int`, *optional*, defaults to the tokenizer's `model_max_length`):
            The longest window in tokens; longer texts are cut into overlapping ones.
        stride (`int`, *optional*, defaults to a quarter of `max_length`): The tokens that neighbouring windows share.
        word_aligned (`bool`, *optional*, defaults to `False`):
            Whether only spans that begin and end where words do take part; as in the model's configuration.
        on_unaligned (`str`, *optional*, defaults to `"drop"`):
            What becomes of an entity that no sequence of whole tokens spells: `"drop"`, it has no label; `"expand"`,
            for training, its label is the smallest span of whole tokens that covers every token it touches (two that
            then coincide and have one type count once); `"error"`. One that no window holds whole is dropped in any
            case but the last. All are in the report.

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
    report = AlignmentReport()
    if not examples:
        return features, report
    max_length = max_tokens(tokenizer) if max_length is None else max_length

    texts = [example.text for example in examples]
    of_texts = windows_of_texts(tokenizer, texts, max_length, stride, word_aligned)
    with _uncollected():
        for begin in range(0, len(examples), _EXAMPLES_AT_ONCE):
            some = examples[begin : begin + _EXAMPLES_AT_ONCE]
            windows = list(islice(of_texts, len(some)))
            labels = _align(some, windows, label2id, on_unaligned, report, word_aligned)
            for window, rows in zip(chain.from_iterable(windows), labels, strict=True):
                feature: dict[str, Any] = {name: values.tolist() for name, values in window.inputs.items()}
                feature["span_token_mask"] = window.span_token_mask.tolist()
                feature["labels"] = rows
                features.append(feature)
    return features, report


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


# An entity in a batch of texts: sample, start, end, label. Plain tuples are quick to make, hash and compare.
_Span = tuple[int, int, int, str]


def _align(
    examples: Sequence[Example],
    windows: Sequence[Sequence[TokenWindow]],
    label2id: dict[str, int],
    on_unaligned: OnUnaligned,
    report: AlignmentReport,
    word_aligned: bool,
) -> list[list[list[int]]]:
    """The label rows of each window of each example; what aligns with none goes into the report."""
    labels: list[list[list[int]]] = [[] for of_example in windows for _ in of_example]
    spans = _spans(examples, label2id)
    if not spans:
        return labels
    finder = _TokenFinder(windows, max(len(example.text) for example in examples))

    def label(spans: Sequence[_Span]) -> NDArray[np.bool_]:
        """Add a row for each span to each window that holds it, and tell which spans have one: `(len(spans),)`."""
        number, window, tokens = finder.find(spans)
        types = np.array([label2id[label] for *_, label in spans])
        for index, row in zip(window.tolist(), np.column_stack([types[number], tokens]).tolist(), strict=True):
            labels[index].append(row)
        return np.bincount(number, minlength=len(spans)) > 0

    aligned = label(spans)
    report.num_entities += len(spans)
    if aligned.all():
        return labels
    labelled = set(compress(spans, aligned))
    boundaries = cache(lambda sample: word_boundaries(examples[sample].text))
    for span in compress(spans, ~aligned):
        sample, start, end, _ = span
        in_word = word_aligned and not boundaries(sample)[[start, end]].all()
        reason = _IN_WORD if in_word else _CUT if finder.has_bounds(span) else _NO_TOKEN
        item = UnalignedEntity(examples[sample], Entity(*span[1:]), reason)
        if on_unaligned == "error":
            raise DataError(
                f"{item}; correct its start and end, take longer windows or a longer stride if it is cut, or choose "
                '`on_unaligned="drop"` or `"expand"`.'
            )
        if on_unaligned == "expand" and (wider := finder.expanded(span)):
            if wider in labelled or label([wider]).any():
                item = replace(item, expanded=Entity(*wider[1:]), merged=wider in labelled)
                labelled.add(wider)
            else:
                item = replace(item, reason=_CUT)
        report.unaligned.append(item)
    return labels


def _spans(examples: Sequence[Example], label2id: dict[str, int]) -> list[_Span]:
    """The distinct entities of the examples, in order."""
    spans = sorted(
        {
            (sample, entity.start, entity.end, entity.label)
            for sample, example in enumerate(examples)
            for entity in example.entities
        }
    )
    for sample, *_, label in spans:
        if label not in label2id:
            raise DataError(
                f"{examples[sample].name}: label {label!r} is none of the model's labels "
                f"({', '.join(label2id)}); correct it, or train with examples of it."
            )
    return spans


class _TokenFinder:
    """Finds the tokens of spans in many windows at once.

    One character may be several tokens, all with its offsets: a span takes them all in, from the first to the last.

    Args:
        windows (`Sequence[Sequence[TokenWindow]]`): The windows of each text of a batch.
        longest (`int`): The characters of the longest text.
    """

    def __init__(self, windows: Sequence[Sequence[TokenWindow]], longest: int) -> None:
        # The windows of sample s are those from number [s] to number [s + 1].
        self._windows = np.cumsum([0, *map(len, windows)])
        all_windows = list(chain.from_iterable(windows))
        lengths = [len(window.offsets) for window in all_windows]
        self._begin = np.cumsum([0, *lengths])
        self._offsets = np.concatenate([window.offsets for window in all_windows])
        masks = np.concatenate([window.span_token_mask for window in all_windows], axis=-1) == 1
        self._may_begin, self._may_end = np.broadcast_to(masks, (2, len(self._offsets)))
        self._width = longest + 1
        # The first and the last character that each window reaches, text and character in one number. Both go up,
        # whatever order a tokenizer gives its tokens.
        texts = np.repeat(np.arange(len(windows)), np.diff(self._windows)) * self._width
        starts, ends = np.append(self._offsets, [[0, 0]], axis=0).T
        starts = np.where(starts < ends, starts, longest)
        reach_from = texts + np.minimum.reduceat(starts, self._begin[:-1])
        self._reach_from = np.minimum.accumulate(reach_from[::-1])[::-1]
        self._reach_to = np.maximum.accumulate(texts + np.maximum.reduceat(ends, self._begin[:-1]))
        # Window and character in one number; a stable sort leaves the tokens of one character in their order.
        keys = np.repeat(np.arange(len(all_windows)) * self._width, lengths)[:, None] + self._offsets
        self._starting, self._ending = (mask.nonzero()[0] for mask in (self._may_begin, self._may_end))
        self._starting = self._starting[keys[self._starting, 0].argsort(kind="stable")]
        self._ending = self._ending[keys[self._ending, 1].argsort(kind="stable")]
        # The key at the end is that of no span.
        self._starts = np.append(keys[self._starting, 0], _NO_KEY)
        self._ends = np.append(keys[self._ending, 1], _NO_KEY)

    def find(self, spans: Sequence[_Span]) -> tuple[Integers, Integers, Integers]:
        """The windows that hold spans: which span `(m,)`, which window `(m,)`, first and last token there `(m, 2)`."""
        sample, start, end = (np.array(column) for column in list(zip(*spans, strict=True))[:3])
        # Each span once for each window that reaches from its start to its end.
        begin = self._reach_to.searchsorted(sample * self._width + end, side="left")
        counts = np.maximum(self._reach_from.searchsorted(sample * self._width + start, side="right") - begin, 0)
        number = np.repeat(np.arange(len(spans)), counts)
        window = np.arange(len(number)) + np.repeat(begin - counts.cumsum() + counts, counts)
        start, end = start[number] + window * self._width, end[number] + window * self._width
        first = self._starts.searchsorted(start, side="left")
        last = self._ends.searchsorted(end, side="right") - 1
        held = (self._starts[first] == start) & (self._ends[last] == end)
        tokens = np.stack([self._starting[first[held]], self._ending[last[held]]], axis=1)
        return number[held], window[held], tokens - self._begin[window[held], None]

    def has_bounds(self, span: _Span) -> bool:
        """Whether a token begins where a span does and one ends where it does, in whatever windows."""
        sample, start, end, _ = span
        keys = np.arange(self._windows[sample], self._windows[sample + 1]) * self._width
        return _any_in(keys + start, self._starts) and _any_in(keys + end, self._ends)

    def expanded(self, span: _Span) -> _Span | None:
        """The smallest span of whole tokens that covers every token a span touches; None where it touches none.

        It is found in all windows of the text together, so that no span ends where a window happens to.
        """
        sample, start, end, label = span
        part = slice(*self._begin[self._windows[sample : sample + 2]])
        starts, ends = self._offsets[part].T
        touched = (starts < ends) & (starts < end) & (ends > start)
        if not touched.any():
            return None
        before = starts[self._may_begin[part] & (starts <= starts[touched].min())]
        after = ends[self._may_end[part] & (ends >= ends[touched].max())]
        if not before.size or not after.size:
            return None
        return sample, int(before.max()), int(after.min()), label


def _any_in(keys: Integers, ordered: Integers) -> bool:
    """Whether any key is among these, which are in order and end with a key above all others."""
    return bool((ordered[ordered.searchsorted(keys)] == keys).any())


def _quoted(example: Example, entity: Entity) -> str:
    return f"{example.text[entity.start : entity.end]!r} ({entity.label}, {entity.start}-{entity.end})"
