"""Strict metrics of a pipeline on labeled texts."""

from collections.abc import Sequence

from transformers.utils import logging

from ..data.examples import Example
from ..modeling.pipeline_global_pointer_ner import GlobalPointerNerPipeline
from .metrics import SpanMetrics, score_predictions


def evaluate_examples(pipe: GlobalPointerNerPipeline, examples: Sequence[Example], batch_size: int) -> SpanMetrics:
    """Compare the entities that a pipeline finds in texts with theirs, in characters.

    On a terminal, a bar shows how far it is. What tokens cannot express counts as missed.

    Args:
        pipe (`GlobalPointerNerPipeline`): The pipeline.
        examples (`Sequence[Example]`): The texts with their entities.
        batch_size (`int`): Inputs in a batch: texts, or windows of long ones.
    """
    found = pipe((example.text for example in examples), batch_size=batch_size)
    predictions = list(logging.tqdm(found, desc="Recognizing", total=len(examples), disable=None))
    return score_predictions(examples, predictions, labels=pipe.labels)
