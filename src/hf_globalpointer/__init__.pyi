"""The names of the package, for type checkers and for `lazy_loader`, which imports each when it is first used."""

from .conversion import convert_checkpoint as convert_checkpoint
from .data import (
    DataCollatorForGlobalPointer as DataCollatorForGlobalPointer,
    DataError as DataError,
    DataReport as DataReport,
    Entity as Entity,
    Example as Example,
    ExampleDataset as ExampleDataset,
    SpanRules as SpanRules,
    encode_examples as encode_examples,
    find_span_rules as find_span_rules,
    read_dataset as read_dataset,
    read_examples as read_examples,
    write_examples as write_examples,
)
from .evaluation.calibration import Reliability as Reliability, calibrate as calibrate
from .evaluation.evaluation import Evaluation as Evaluation
from .evaluation.metrics import (
    ComputeSpanMetrics as ComputeSpanMetrics,
    SpanMetrics as SpanMetrics,
    score_predictions as score_predictions,
)
from .evaluation.missed_entities import MissedEntity as MissedEntity, explain_misses as explain_misses
from .evaluation.suggestions import Suggestion as Suggestion, suggest as suggest
from .evaluation.thresholds import best_thresholds as best_thresholds, collect_candidates as collect_candidates
from .export.comparison import Comparison as Comparison
from .export.exported_model import (
    ExportedForGlobalPointer as ExportedForGlobalPointer,
    load_exported as load_exported,
)
from .export.exporting import export_model as export_model
from .modeling.configuration_global_pointer import (
    BertEfficientGlobalPointerConfig as BertEfficientGlobalPointerConfig,
    BertGlobalPointerConfig as BertGlobalPointerConfig,
    EncoderEfficientGlobalPointerConfig as EncoderEfficientGlobalPointerConfig,
    EncoderGlobalPointerConfig as EncoderGlobalPointerConfig,
)
from .modeling.modeling_global_pointer import (
    BertForEfficientGlobalPointer as BertForEfficientGlobalPointer,
    BertForGlobalPointer as BertForGlobalPointer,
    EncoderForEfficientGlobalPointer as EncoderForEfficientGlobalPointer,
    EncoderForGlobalPointer as EncoderForGlobalPointer,
    GlobalPointerOutput as GlobalPointerOutput,
)
from .modeling.pipeline_global_pointer_ner import GlobalPointerNerPipeline as GlobalPointerNerPipeline
from .modeling.span_heads import (
    EfficientGlobalPointerHead as EfficientGlobalPointerHead,
    GlobalPointerHead as GlobalPointerHead,
)
from .modeling.span_scores import SpanScores as SpanScores
from .modeling.token_windows import max_tokens as max_tokens
from .modeling.triton_registration import use_triton_kernels as use_triton_kernels
from .registration import register as register
from .reports.evaluation_report import EvaluationReport as EvaluationReport
from .reports.model_card import GlobalPointerModelCard as GlobalPointerModelCard
from .reports.visualization import render as render
from .runtime.engines import ExportError as ExportError
from .runtime.recognizer import Recognizer as Recognizer
from .training.adversarial import fgm_perturbation as fgm_perturbation
from .training.callbacks import (
    EpochCallback as EpochCallback,
    FiniteLossCallback as FiniteLossCallback,
    ModelCardCallback as ModelCardCallback,
)
from .training.fine_tuning import fine_tune as fine_tune
from .training.optimization import freeze_unused as freeze_unused, parameter_groups as parameter_groups
from .training.run_folder import (
    begin_run as begin_run,
    check_output_folder as check_output_folder,
    checkpoint_bytes as checkpoint_bytes,
    data_digest as data_digest,
    last_complete_checkpoint as last_complete_checkpoint,
)
from .training.trainer import GlobalPointerTrainer as GlobalPointerTrainer

__version__: str
