"""Strict metrics of a pipeline on labeled texts."""

from collections.abc import Sequence

from transformers.utils import logging

from ..data.examples import Example
from ..modeling.pipeline_global_pointer_ner import GlobalPointerNerPipeline
from ..modeling.span_decoding import PredictedEntity
from .metrics import SpanMetrics, score_predictions


def evaluate_examples(pipe: GlobalPointerNerPipeline, examples: Sequence[Example], batch_size: int) -> SpanMetrics:
    """Compare the entities that a pipeline finds in texts with theirs, in characters.

    What tokens cannot express counts as missed.

    Args:
        pipe (`GlobalPointerNerPipeline`): The pipeline.
        examples (`Sequence[Example]`): The texts with their entities.
        batch_size (`int`): Inputs in a batch: texts, or windows of long ones.
    """
    return score_predictions(examples, predict_examples(pipe, examples, batch_size), labels=pipe.labels)


def predict_examples(
    pipe: GlobalPointerNerPipeline, examples: Sequence[Example], batch_size: int
) -> list[list[PredictedEntity]]:
    """The entities that a pipeline finds in each text, under a progress bar; arguments as of [`evaluate_examples`]."""
    found = pipe((example.text for example in examples), batch_size=batch_size)
    return list(logging.tqdm(found, desc="Recognizing", total=len(examples)))
