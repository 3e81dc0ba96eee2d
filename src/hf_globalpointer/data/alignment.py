"""From entities in characters to labels in tokens, with an account of what could not be aligned."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from transformers import PreTrainedTokenizerBase

from ..modeling.token_windows import TokenWindow, max_tokens, token_windows
from .schema import DataError, Entity, Example


@dataclass(frozen=True)
class UnalignedEntity:
    """An entity that no sequence of whole tokens spells, and why."""

    example: Example
    entity: Entity
    reason: str

    def __str__(self) -> str:
        entity = self.entity
        text = self.example.text[entity.start : entity.end]
        return f"{self.example.name}: {text!r} ({entity.label}, {entity.start}-{entity.end}) {self.reason}"


@dataclass
class AlignmentReport:
    """How many entities became labels, and which did not.

    Args:
        num_entities (`int`): Distinct entities seen.
        unaligned (`list[UnalignedEntity]`): Those that no label stands for.
    """

    num_entities: int = 0
    unaligned: list[UnalignedEntity] = field(default_factory=list)

    @property
    def unaligned_counts(self) -> Counter[str]:
        """The number of unaligned entities of each label."""
        return Counter(item.entity.label for item in self.unaligned)

    def summary(self, limit: int = 5) -> str:
        """One line with the counts, then up to `limit` of the unaligned entities, a line each."""
        aligned = self.num_entities - len(self.unaligned)
        lines = [f"{aligned} of {self.num_entities} entities aligned with the tokens."]
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
) -> tuple[list[dict[str, Any]], AlignmentReport]:
    """Tokenise examples into features for training and evaluation, one for each window of a text.

    Args:
        examples (`Iterable[Example]`): The examples.
        tokenizer (`PreTrainedTokenizerBase`): A fast tokenizer.
        label2id (`dict[str, int]`): The entity types of the model.
        max_length (`int`, *optional*, defaults to the tokenizer's `model_max_length`):
            The longest window in tokens; longer texts are cut into overlapping ones.
        stride (`int`, *optional*, defaults to a quarter of `max_length`): The tokens that neighbouring windows share.

    Returns:
        The features, each with `input_ids`, `attention_mask`, ..., `span_token_mask` and `labels`, a list of
        [type, first token, last token]; and the report.

    Raises:
        DataError: If an entity's label is not in `label2id`.
    """
    examples = list(examples)
    if not examples:
        return [], AlignmentReport()
    max_length = max_tokens(tokenizer) if max_length is None else max_length
    windows_of: list[list[TokenWindow]] = [[] for _ in examples]
    for window in token_windows(tokenizer, [example.text for example in examples], max_length, stride):
        windows_of[window.sample].append(window)
    features, report = [], AlignmentReport()
    for example, windows in zip(examples, windows_of, strict=True):
        labels = _align(example, windows, label2id, report)
        for window, rows in zip(windows, labels, strict=True):
            features.append({**window.inputs, "span_token_mask": window.span_token_mask.tolist(), "labels": rows})
    return features, report


def _align(
    example: Example, windows: Sequence[TokenWindow], label2id: dict[str, int], report: AlignmentReport
) -> list[list[list[int]]]:
    """The label rows of each window of one example; what aligns with none goes into the report."""
    bounds = [_token_bounds(window) for window in windows]
    labels: list[list[list[int]]] = [[] for _ in windows]
    for entity in sorted(set(example.entities)):
        if entity.label not in label2id:
            raise DataError(
                f"{example.name}: label {entity.label!r} is none of the model's labels "
                f"({', '.join(label2id)}); correct it, or train with examples of it."
            )
        report.num_entities += 1
        aligned = False
        for (first_at, last_at), rows in zip(bounds, labels, strict=True):
            if entity.start in first_at and entity.end in last_at:
                rows.append([label2id[entity.label], first_at[entity.start], last_at[entity.end]])
                aligned = True
        if not aligned:
            starts = any(entity.start in first_at for first_at, _ in bounds)
            ends = any(entity.end in last_at for _, last_at in bounds)
            reason = "is cut by every window" if starts and ends else "begins or ends where no token does"
            report.unaligned.append(UnalignedEntity(example, entity, reason))
    return labels


def _token_bounds(window: TokenWindow) -> tuple[dict[int, int], dict[int, int]]:
    """The first token that starts, and the last that ends, at each character where one does.

    One character may be several tokens, all with its offsets: the entity takes them all in.
    """
    tokens = window.span_token_mask.nonzero()[0].tolist()
    offsets = window.offsets.tolist()
    first_at = {offsets[token][0]: token for token in reversed(tokens)}
    last_at = {offsets[token][1]: token for token in tokens}
    return first_at, last_at
