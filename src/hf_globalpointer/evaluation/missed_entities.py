"""Why gold entities were not predicted, and how near a model was to them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from math import inf
from typing import Any

from ..data.alignment import encode_examples
from ..data.examples import Entity, Example
from ..modeling.span_decoding import CharSpan, Overlap, PredictedEntity, label_thresholds, select_spans
from ..modeling.text_recognizer import Options, TextRecognizer
from .scored_documents import ScoredDocument
from .search_limits import FLOOR, MAX_SPANS


class MissReason(StrEnum):
    """Why an entity was not predicted."""

    suppressed = "suppressed"
    cut = "cut"
    under_threshold = "under the threshold"
    improbable = f"under {FLOOR}"
    not_aligned = "not aligned"


@dataclass(frozen=True)
class MissedEntity:
    """A gold entity that was not predicted.

    Args:
        document (`int`): The position of its text among those evaluated.
        entity (`Entity`): The entity.
        reason (`MissReason`): Why it was not predicted.
        probability (`float`, *optional*): What the model gave it, if that was above `FLOOR`.
        threshold (`float`): The threshold of its label.
        alignment (`str`, *optional*): What keeps it from being aligned with the tokens.
        conflict (`Entity`, *optional*):
            Of the predictions that it may not go with, by the rule `overlap`, the one with the highest score.
    """

    document: int
    entity: Entity
    reason: MissReason
    probability: float | None
    threshold: float
    alignment: str | None = None
    conflict: Entity | None = None

    def explain(self, text: str) -> str:
        """Why it was missed, in a few words.

        Args:
            text (`str`): The text that it is of.
        """
        if self.alignment is not None:
            return f"it cannot be predicted: it {self.alignment}"
        if self.probability is None:
            return f"probability under {FLOOR}"
        said = f"probability {self.probability:.4f}, threshold {self.threshold:.4f}"
        if self.reason is MissReason.cut:
            return f"{said}, cut by `max_spans` or `top_k`"
        if self.conflict is None:
            return said
        how = "suppressed by" if self.reason is MissReason.suppressed else "in its place"
        return f"{said}, {how} {self.conflict.label} “{text[self.conflict.start : self.conflict.end]}”"

    def to_dict(self) -> dict[str, Any]:
        """Why it was missed, in the types of JSON."""
        return {
            "reason": str(self.reason),
            "probability": self.probability,
            "threshold": self.threshold,
            "alignment": self.alignment,
            "conflict": None if self.conflict is None else asdict(self.conflict),
        }


def search_options(recognizer: TextRecognizer, **options: Any) -> dict[str, Any]:
    """The options of the call whose results [`explain_misses`] takes: all spans that are not improbable.

    Args:
        recognizer (`TextRecognizer`): A pipeline, or a `Recognizer`.
        options: Those of the call that the predictions were made with.
    """
    thresholds = _thresholds(recognizer, Options.of_call(options))
    lowest = {label: min(FLOOR, threshold) for label, threshold in thresholds.items()}
    return {**options, "threshold": lowest, "overlap": "all", "top_k": None, "max_spans": MAX_SPANS}


def explain_misses(
    recognizer: TextRecognizer,
    documents: Sequence[ScoredDocument],
    found: Iterable[Sequence[PredictedEntity]] | None = None,
    batch_size: int = 32,
    **options: Any,
) -> list[MissedEntity]:
    """Say of each gold entity that was not predicted how near the model was to it.

    Args:
        recognizer (`TextRecognizer`): A pipeline, or a `Recognizer`.
        documents (`Sequence[ScoredDocument]`): The texts with gold entities and predictions.
        found (`Iterable[Sequence]`, *optional*):
            What the recognizer finds with [`search_options`] in each text of which entities were missed, in order; by
            default it is run for that.
        batch_size (`int`, *optional*, defaults to 32): Windows in a batch, if it is run.
        options: Those of the call that the predictions were made with, of texts that are strings.

    Returns:
        `list[MissedEntity]`: By document, in it by place.

    Raises:
        DataError: If a gold entity has a label that the model does not know.

    Example:
        ```python
        predictions = recognize([example.text for example in examples])
        evaluation = Evaluation.from_predictions(examples, predictions)
        for miss in explain_misses(recognize, evaluation.documents):
            print(miss.entity, miss.explain(examples[miss.document].text))
        ```
    """
    given = Options.of_call(options)
    thresholds = _thresholds(recognizer, given)
    overlap = recognizer.settings.overlap if given.overlap is None else given.overlap
    missing = [
        (index, replace(document.example, entities=tuple(sorted(document.missed))))
        for index, document in enumerate(documents)
        if document.missed
    ]
    if found is None:
        texts = [example.text for _, example in missing]
        found = recognizer(texts, batch_size=batch_size, **search_options(recognizer, **options))
    unaligned = _unaligned(recognizer, [example for _, example in missing], given)
    misses = []
    for (index, example), spans in zip(missing, found, strict=True):
        probabilities = ScoredDocument.from_pipeline(example, spans).predicted
        for entity in example.entities:
            probability, threshold = probabilities.get(entity), thresholds[entity.label]
            alignment = unaligned.get((example, entity))
            conflict = None if probability is None else _conflict(entity, documents[index].predicted, overlap)
            if alignment is not None:
                reason = MissReason.not_aligned
            elif probability is None:
                reason = MissReason.improbable
            elif probability <= threshold:
                reason = MissReason.under_threshold
            else:
                reason = MissReason.cut if conflict is None else MissReason.suppressed
            misses.append(MissedEntity(index, entity, reason, probability, threshold, alignment, conflict))
    return misses


def _conflict(entity: Entity, predicted: Mapping[Entity, float], overlap: Overlap) -> Entity | None:
    """The prediction with the highest score of those that an entity may not go with."""
    span = CharSpan(entity.start, entity.end, entity.label, -inf)
    conflicts = [
        (score, other)
        for other, score in predicted.items()
        # Texts may have thousands of predictions, and few overlap.
        if other.start < entity.end
        and entity.start < other.end
        and len(select_spans([CharSpan(other.start, other.end, other.label, score), span], overlap)) == 1
    ]
    return max(conflicts)[1] if conflicts else None


def _thresholds(recognizer: TextRecognizer, options: Options) -> dict[str, float]:
    return dict(zip(recognizer.labels, label_thresholds(recognizer.settings, options.threshold), strict=True))


def _unaligned(
    recognizer: TextRecognizer, examples: Sequence[Example], options: Options
) -> dict[tuple[Example, Entity], str]:
    """What keeps entities from being aligned with the tokens."""
    settings = recognizer.settings
    _, report = encode_examples(
        examples,
        recognizer.tokenizer,
        {label: index for index, label in enumerate(recognizer.labels)},
        *recognizer.window_size(options),
        word_aligned=settings.word_aligned if options.word_aligned is None else options.word_aligned,
        max_span_length=settings.max_span_length,
    )
    return {(item.example, item.entity): item.reason for item in report.unaligned}
