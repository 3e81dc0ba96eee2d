"""How far an exported model is from the one it was made of."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from ..data.examples import Example
from ..evaluation.metrics import score_predictions
from ..modeling.text_recognizer import TextRecognizer


# The probability from which spans are compared, those that are no entities included.
_FLOOR = 0.05


@dataclass(frozen=True)
class Comparison:
    """Two models on the same texts.

    Args:
        texts (`int`): The number of texts.
        entities (`int`): The entities that the original finds.
        different_entities (`int`): Those that only one of the two finds.
        score_difference (`float`): The largest difference of the probabilities of a span that both see.
        original_f1 (`float`, *optional*): Micro-F1 of the original, where the texts have entities.
        exported_f1 (`float`, *optional*): That of the exported model.
    """

    texts: int
    entities: int
    different_entities: int
    score_difference: float
    original_f1: float | None = None
    exported_f1: float | None = None

    @property
    def f1_loss(self) -> float:
        """By how many points of F1 the exported model is worse, as far as it is known."""
        if self.original_f1 is None or self.exported_f1 is None:
            return 0.0
        return 100 * (self.original_f1 - self.exported_f1)

    def to_dict(self) -> dict[str, Any]:
        """All fields by name."""
        return asdict(self)

    def summary(self) -> str:
        """One line."""
        f1 = ""
        if self.original_f1 is not None and self.exported_f1 is not None:
            f1 = f"; F1 {self.original_f1:.4f} before, {self.exported_f1:.4f} after"
        return (
            f"Texts compared: {self.texts:,}; entities: {self.entities:,}; found by one model only: "
            f"{self.different_entities:,}; probabilities differ by at most {self.score_difference:.2g}{f1}."
        )


def compare(
    pipe: TextRecognizer, recognizer: TextRecognizer, examples: Sequence[Example], batch_size: int = 32
) -> Comparison:
    """Run both models on the same texts.

    Args:
        pipe (`TextRecognizer`): The original: its pipeline.
        recognizer (`TextRecognizer`): The exported model.
        examples (`Sequence[Example]`): The texts; where they have entities of the model's labels, F1 is compared too.
        batch_size (`int`, *optional*, defaults to 32): Windows in a batch.
    """
    texts = [example.text for example in examples]
    original, exported = (each(texts, batch_size=batch_size) for each in (pipe, recognizer))
    scores = [
        _scores(each(texts, batch_size=batch_size, threshold=_FLOOR, overlap="all")) for each in (pipe, recognizer)
    ]
    f1s: list[float | None] = [None, None]
    if any(entity.label in pipe.labels for example in examples for entity in example.entities):
        f1s = [score_predictions(examples, found).micro.f1 for found in (original, exported)]
    places = [_scores(found).keys() for found in (original, exported)]
    both = scores[0].keys() & scores[1].keys()
    return Comparison(
        texts=len(texts),
        entities=len(places[0]),
        different_entities=len(places[0] ^ places[1]),
        score_difference=max((abs(scores[0][place] - scores[1][place]) for place in both), default=0.0),
        original_f1=f1s[0],
        exported_f1=f1s[1],
    )


def _scores(predictions: Sequence[Sequence[dict[str, Any]]]) -> dict[tuple[int, int, int, str], float]:
    """The probability of each entity by its text and place."""
    return {
        (index, entity["start"], entity["end"], entity["entity_group"]): entity["score"]
        for index, entities in enumerate(predictions)
        for entity in entities
    }
