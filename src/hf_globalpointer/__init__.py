"""GlobalPointer and Efficient GlobalPointer span-based named-entity recognition for Hugging Face Transformers."""

from .data import DataCollatorForGlobalPointer, DataError, Entity, Example, encode_examples, read_examples
from .metrics import ComputeSpanMetrics, SpanMetrics, score_predictions
from .modeling.configuration_global_pointer import BertEfficientGlobalPointerConfig, BertGlobalPointerConfig
from .modeling.modeling_global_pointer import (
    BertForEfficientGlobalPointer,
    BertForGlobalPointer,
    EfficientGlobalPointerHead,
    GlobalPointerHead,
    GlobalPointerOutput,
)
from .modeling.pipeline_global_pointer_ner import GlobalPointerNerPipeline
from .modeling.span_scores import SpanScores
from .optimization import parameter_groups
from .registration import register


__version__ = "0.1.0"

__all__ = [
    "BertEfficientGlobalPointerConfig",
    "BertForEfficientGlobalPointer",
    "BertForGlobalPointer",
    "BertGlobalPointerConfig",
    "ComputeSpanMetrics",
    "DataCollatorForGlobalPointer",
    "DataError",
    "EfficientGlobalPointerHead",
    "Entity",
    "Example",
    "GlobalPointerHead",
    "GlobalPointerNerPipeline",
    "GlobalPointerOutput",
    "SpanMetrics",
    "SpanScores",
    "encode_examples",
    "parameter_groups",
    "read_examples",
    "register",
    "score_predictions",
]

register()
