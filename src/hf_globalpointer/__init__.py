"""GlobalPointer and Efficient GlobalPointer span-based named-entity recognition for Hugging Face Transformers."""

from .adversarial import worst_embeddings
from .checkpoints import begin_run, check_output_folder, checkpoint_bytes, data_digest, last_whole_checkpoint
from .data import (
    DataCollatorForGlobalPointer,
    DataError,
    DataReport,
    Entity,
    Example,
    ExampleDataset,
    SpanRules,
    encode_examples,
    find_span_rules,
    read_dataset,
    read_examples,
    write_examples,
)
from .metrics import ComputeSpanMetrics, SpanMetrics, score_predictions
from .model_card import GlobalPointerModelCard, ModelCardCallback
from .modeling.configuration_global_pointer import (
    BertEfficientGlobalPointerConfig,
    BertGlobalPointerConfig,
    EncoderEfficientGlobalPointerConfig,
    EncoderGlobalPointerConfig,
)
from .modeling.modeling_global_pointer import (
    BertForEfficientGlobalPointer,
    BertForGlobalPointer,
    EncoderForEfficientGlobalPointer,
    EncoderForGlobalPointer,
    GlobalPointerOutput,
)
from .modeling.pipeline_global_pointer_ner import GlobalPointerNerPipeline
from .modeling.span_heads import EfficientGlobalPointerHead, GlobalPointerHead
from .modeling.span_scores import SpanScores
from .modeling.token_windows import max_tokens
from .optimization import freeze_unused, parameter_groups
from .registration import register
from .trainer import EpochCallback, GlobalPointerTrainer


__version__ = "0.1.0"

__all__ = [
    "BertEfficientGlobalPointerConfig",
    "BertForEfficientGlobalPointer",
    "BertForGlobalPointer",
    "BertGlobalPointerConfig",
    "ComputeSpanMetrics",
    "DataCollatorForGlobalPointer",
    "DataError",
    "DataReport",
    "EfficientGlobalPointerHead",
    "EncoderEfficientGlobalPointerConfig",
    "EncoderForEfficientGlobalPointer",
    "EncoderForGlobalPointer",
    "EncoderGlobalPointerConfig",
    "Entity",
    "EpochCallback",
    "Example",
    "ExampleDataset",
    "GlobalPointerHead",
    "GlobalPointerModelCard",
    "GlobalPointerNerPipeline",
    "GlobalPointerOutput",
    "GlobalPointerTrainer",
    "ModelCardCallback",
    "SpanMetrics",
    "SpanRules",
    "SpanScores",
    "begin_run",
    "check_output_folder",
    "checkpoint_bytes",
    "data_digest",
    "encode_examples",
    "find_span_rules",
    "freeze_unused",
    "last_whole_checkpoint",
    "max_tokens",
    "parameter_groups",
    "read_dataset",
    "read_examples",
    "register",
    "score_predictions",
    "worst_embeddings",
    "write_examples",
]

register()
