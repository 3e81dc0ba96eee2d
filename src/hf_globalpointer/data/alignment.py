"""From entities in characters to labels in tokens, with an account of what could not be aligned."""

import sys
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain, groupby
from operator import attrgetter
from typing import Any, Literal, NamedTuple, get_args

import numpy as np

from ..modeling.token_windows import Tokenizer, TokenWindow, token_windows, window_size
from ..modeling.words import word_boundaries
from .examples import DataError, Entity, Example


OnUnaligned = Literal["drop", "expand", "error"]
_NO_TOKEN = "begins or ends where no token does"
_IN_WORD = "begins or ends inside a word"
_CUT = "is cut by every window"
_TOO_LONG = "has more tokens than `max_span_length` allows"


@dataclass(frozen=True)
class UnalignedEntity:
    """An entity that no sequence of complete tokens spells, and why.

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
        aligned = f"{self.num_aligned} of {self.num_entities} entities aligned with the tokens"
        lines = [f"{aligned}; {others}." if others else f"{aligned}."]
        lines += [f"  not aligned: {item}" for item in self.unaligned[:limit]]
        if len(self.unaligned) > limit:
            lines.append(f"  ... and {len(self.unaligned) - limit} more")
        return "\n".join(lines)


def encode_examples(
    examples: Iterable[Example],
    tokenizer: Tokenizer,
    label2id: dict[str, int],
    max_length: int | None = None,
    stride: int | None = None,
    word_aligned: bool = False,
    on_unaligned: OnUnaligned = "drop",
    max_span_length: int | None = None,
    mark_capitals: bool = False,
) -> tuple[list[dict[str, Any]], AlignmentReport]:
    """Tokenize examples into features for training and evaluation, one for each window of a text.

    Args:
        examples (`Iterable[Example]`): The examples.
        tokenizer (`PreTrainedTokenizerBase`): A fast tokenizer.
        label2id (`dict[str, int]`): The labels of the model.
        max_length (`int`, *optional*, defaults to the tokenizer's `model_max_length`):
            The longest window in tokens; longer texts are cut into overlapping ones.
        stride (`int`, *optional*, defaults to a quarter of `max_length`, or `max_span_length` if that is more):
            The tokens that neighboring windows share at least.
        word_aligned (`bool`, *optional*, defaults to `False`):
            Whether only spans that begin and end where words do take part; as in the model's configuration.
        on_unaligned (`str`, *optional*, defaults to `"drop"`):
            What becomes of an entity that no sequence of complete tokens spells: `"drop"`, it has no label;
            `"expand"`, for training, its label is the smallest span of complete tokens that covers every token it
            touches (two that then coincide and have the same label count once); `"error"`. One that every window
            cuts, or that has too many tokens, is dropped in any case but the last. All are in the report.
        max_span_length (`int`, *optional*): The most tokens of an entity; as in the model's configuration.
        mark_capitals (`bool`, *optional*, defaults to `False`):
            Whether `token_type_ids` are 1 where a capital letter begins a token; as in the model's configuration.

    Returns:
        The features, each with `input_ids`, `attention_mask`, ..., `span_token_mask` and `labels`, a list of
        [label id, start token, end token], both tokens inclusive; and the report.

    Raises:
        DataError: If an entity's label is not in `label2id`, or, with `on_unaligned="error"`, one does not align.
        ValueError: If `on_unaligned` is none of the three.
    """
    if on_unaligned not in get_args(OnUnaligned):
        raise ValueError(f"`on_unaligned` must be one of {', '.join(get_args(OnUnaligned))}, got {on_unaligned!r}.")
    examples = list(examples)
    for example in examples:
        _check_labels(example, label2id)
    features: list[dict[str, Any]] = []
    aligner = _Aligner(label2id, on_unaligned, word_aligned, max_span_length)
    if examples:
        size = window_size(tokenizer, None, max_length, stride, max_span_length)
        texts = [example.text for example in examples]
        windows = token_windows(tokenizer, texts, *size, word_aligned, mark_capitals=mark_capitals)
        for sample, group in groupby(chain.from_iterable(windows), key=attrgetter("sample")):
            features += aligner.features(examples[sample], list(group))
    return features, aligner.report


def _check_labels(example: Example, label2id: dict[str, int]) -> None:
    for entity in example.entities:
        if entity.label not in label2id:
            raise DataError(
                f"{example.name}: label {entity.label!r} is none of the model's labels ({', '.join(label2id)}); "
                "correct it, or train with examples of it."
            )


@dataclass
class _Aligner:
    """Makes the features of one example after the other, and reports the entities that do not align."""

    label2id: dict[str, int]
    on_unaligned: OnUnaligned
    word_aligned: bool
    max_span_length: int | None
    report: AlignmentReport = field(default_factory=AlignmentReport)

    def features(self, example: Example, windows: Sequence[TokenWindow]) -> Iterator[dict[str, Any]]:
        """Yield the feature of each window of an example."""
        labels: list[list[list[int]]] = [[] for _ in windows]
        for entity, places in self._label(example, windows).items():
            for place in places:
                labels[place.window].append([self.label2id[entity.label], place.start_token, place.end_token])
        for window, rows in zip(windows, labels, strict=True):
            inputs = {name: values.tolist() for name, values in window.inputs.items()}
            yield {**inputs, "span_token_mask": window.span_token_mask.tolist(), "labels": rows}

    def _label(self, example: Example, windows: Sequence[TokenWindow]) -> dict[Entity, list["_Place"]]:
        """The entities that get a label, some of them expanded, each with its places; the others are reported."""
        entities = sorted(set(example.entities))
        self.report.num_entities += len(entities)
        if not entities:
            return {}
        finder = _SpanFinder(windows, self.max_span_length)
        places = {entity: finder.find(entity) for entity in entities}
        labeled = {entity: found for entity, found in places.items() if found}
        for entity in entities:
            if entity not in labeled or not places[entity]:
                item = self._unaligned(example, entity, finder, labeled.keys())
                self.report.unaligned.append(item)
                if item.expanded is not None and not item.merged:
                    labeled[item.expanded] = finder.find(item.expanded)
        return labeled

    def _unaligned(
        self, example: Example, entity: Entity, finder: "_SpanFinder", labeled: Iterable[Entity]
    ) -> UnalignedEntity:
        """What is to be reported of an entity, given those that have a label already.

        Raises:
            DataError: If unaligned entities are errors.
        """
        reason = finder.why_not(entity)
        if self.word_aligned and not word_boundaries(example.text)[[entity.start, entity.end]].all():
            reason = _IN_WORD
        item = UnalignedEntity(example, entity, reason)
        if self.on_unaligned == "error":
            raise DataError(
                f"{item}; correct its start and end, take longer windows or a longer stride if it is cut, or choose "
                '`on_unaligned="drop"` or `"expand"`.'
            )
        expanded = finder.expand(entity) if self.on_unaligned == "expand" else None
        if expanded is None:
            return item
        if expanded not in labeled and not finder.find(expanded):
            return UnalignedEntity(example, entity, finder.why_not(expanded))
        return UnalignedEntity(example, entity, reason, expanded, merged=expanded in labeled)


class _Place(NamedTuple):
    """A span of tokens in a window: the window's index, and the first and the last token there."""

    window: int
    start_token: int
    end_token: int


class _SpanFinder:
    """Finds spans of characters in the tokens of a text's windows.

    One character may be several tokens, all with its offsets: a span takes them all in, from the first to the last.

    Args:
        windows (`Sequence[TokenWindow]`): The windows of the text.
        max_span_length (`int`, *optional*): The most tokens of a span.

    Example: of "ab cd" in the windows "[CLS] ab [SEP]" and "[CLS] cd [SEP]", `_start_tokens` is `[{0: 1}, {3: 1}]` and
    `_end_tokens` is `[{2: 1}, {5: 1}]`; "cd" is in windows 1 to 1.
    """

    def __init__(self, windows: Sequence[TokenWindow], max_span_length: int | None) -> None:
        self._windows, self._max_span_length = windows, max_span_length
        # For each window, by the characters where spans may start (end), the first (last) token that does.
        self._start_tokens: list[dict[int, int]] = []
        self._end_tokens: list[dict[int, int]] = []
        for window in windows:
            mask = window.span_token_mask.tolist()
            may_start, may_end = (mask, mask) if window.span_token_mask.ndim == 1 else mask
            start_tokens: dict[int, int] = {}
            end_tokens: dict[int, int] = {}
            for token, (start, end) in enumerate(window.offsets.tolist()):
                if may_start[token]:
                    start_tokens.setdefault(start, token)
                if may_end[token]:
                    end_tokens[end] = token
            self._start_tokens.append(start_tokens)
            self._end_tokens.append(end_tokens)
        # Both go up, even if a window has no token or a tokenizer gives its tokens in another order.
        starts = (min(tokens, default=sys.maxsize) for tokens in reversed(self._start_tokens))
        self._starts = list(accumulate(starts, min))[::-1]
        self._ends = list(accumulate((max(tokens, default=0) for tokens in self._end_tokens), max))

    def find(self, entity: Entity) -> list[_Place]:
        """The places of a span, one in each window that holds it."""
        places = []
        for window in self._windows_around(entity):
            start_token = self._start_tokens[window].get(entity.start)
            end_token = self._end_tokens[window].get(entity.end)
            if start_token is not None and end_token is not None and not self._is_too_long(start_token, end_token):
                places.append(_Place(window, start_token, end_token))
        return places

    def why_not(self, entity: Entity) -> str:
        """Why no window holds a span."""
        starts = {window for window, tokens in enumerate(self._start_tokens) if entity.start in tokens}
        ends = {window for window, tokens in enumerate(self._end_tokens) if entity.end in tokens}
        if not starts or not ends:
            return _NO_TOKEN
        return _TOO_LONG if starts & ends else _CUT

    def _windows_around(self, entity: Entity) -> range:
        """The windows that reach from the start of a span to its end, which alone are searched for it."""
        return range(bisect_left(self._ends, entity.end), bisect_right(self._starts, entity.start))

    def _is_too_long(self, start_token: int, end_token: int) -> bool:
        return self._max_span_length is not None and end_token - start_token >= self._max_span_length

    def expand(self, entity: Entity) -> Entity | None:
        """The smallest span of complete tokens that covers every token an entity touches; None where it touches none.

        It is found in all windows of the text together, so that no span ends where a window happens to.
        """
        starts, ends = np.concatenate([window.offsets for window in self._windows]).T
        touched = (starts < ends) & (starts < entity.end) & (ends > entity.start)
        if not touched.any():
            return None
        low, high = starts[touched].min(), ends[touched].max()
        start = max((start for tokens in self._start_tokens for start in tokens if start <= low), default=None)
        end = min((end for tokens in self._end_tokens for end in tokens if end >= high), default=None)
        return None if start is None or end is None else Entity(start, end, entity.label)


def _quoted(example: Example, entity: Entity) -> str:
    return f"{example.text[entity.start : entity.end]!r} ({entity.label}, {entity.start}-{entity.end})"
