"""The names of the package, for type checkers and for `lazy_loader`, which imports each when it is first used."""

from .adversarial import worst_embeddings as worst_embeddings
from .checkpoints import (
    begin_run as begin_run,
)
from .checkpoints import (
    check_output_folder as check_output_folder,
)
from .checkpoints import (
    checkpoint_bytes as checkpoint_bytes,
)
from .checkpoints import (
    data_digest as data_digest,
)
from .checkpoints import (
    last_whole_checkpoint as last_whole_checkpoint,
)
from .data import (
    DataCollatorForGlobalPointer as DataCollatorForGlobalPointer,
)
from .data import (
    DataError as DataError,
)
from .data import (
    DataReport as DataReport,
)
from .data import (
    Entity as Entity,
)
from .data import (
    Example as Example,
)
from .data import (
    ExampleDataset as ExampleDataset,
)
from .data import (
    SpanRules as SpanRules,
)
from .data import (
    encode_examples as encode_examples,
)
from .data import (
    find_span_rules as find_span_rules,
)
from .data import (
    read_dataset as read_dataset,
)
from .data import (
    read_examples as read_examples,
)
from .data import (
    write_examples as write_examples,
)
from .metrics import (
    ComputeSpanMetrics as ComputeSpanMetrics,
)
from .metrics import (
    SpanMetrics as SpanMetrics,
)
from .metrics import (
    score_predictions as score_predictions,
)
from .model_card import GlobalPointerModelCard as GlobalPointerModelCard
from .model_card import ModelCardCallback as ModelCardCallback
from .modeling.configuration_global_pointer import (
    BertEfficientGlobalPointerConfig as BertEfficientGlobalPointerConfig,
)
from .modeling.configuration_global_pointer import (
    BertGlobalPointerConfig as BertGlobalPointerConfig,
)
from .modeling.configuration_global_pointer import (
    EncoderEfficientGlobalPointerConfig as EncoderEfficientGlobalPointerConfig,
)
from .modeling.configuration_global_pointer import (
    EncoderGlobalPointerConfig as EncoderGlobalPointerConfig,
)
from .modeling.modeling_global_pointer import (
    BertForEfficientGlobalPointer as BertForEfficientGlobalPointer,
)
from .modeling.modeling_global_pointer import (
    BertForGlobalPointer as BertForGlobalPointer,
)
from .modeling.modeling_global_pointer import (
    EncoderForEfficientGlobalPointer as EncoderForEfficientGlobalPointer,
)
from .modeling.modeling_global_pointer import (
    EncoderForGlobalPointer as EncoderForGlobalPointer,
)
from .modeling.modeling_global_pointer import (
    GlobalPointerOutput as GlobalPointerOutput,
)
from .modeling.pipeline_global_pointer_ner import GlobalPointerNerPipeline as GlobalPointerNerPipeline
from .modeling.span_heads import (
    EfficientGlobalPointerHead as EfficientGlobalPointerHead,
)
from .modeling.span_heads import (
    GlobalPointerHead as GlobalPointerHead,
)
from .modeling.span_scores import SpanScores as SpanScores
from .modeling.token_windows import max_tokens as max_tokens
from .optimization import freeze_unused as freeze_unused
from .optimization import parameter_groups as parameter_groups
from .registration import register as register
from .trainer import EpochCallback as EpochCallback
from .trainer import GlobalPointerTrainer as GlobalPointerTrainer

__version__: str
