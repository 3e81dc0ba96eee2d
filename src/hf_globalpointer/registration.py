"""Make the Auto classes and `pipeline` know the GlobalPointer models."""

from typing import Any

import transformers
from transformers import AutoConfig, AutoModel, AutoModelForTokenClassification
from transformers.pipelines import PIPELINE_REGISTRY

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
)
from .modeling.pipeline_global_pointer_ner import GlobalPointerNerPipeline
from .modeling.remote_code import TASK


__all__ = ["MODELS", "TASK", "register"]

MODELS = {
    BertGlobalPointerConfig: BertForGlobalPointer,
    BertEfficientGlobalPointerConfig: BertForEfficientGlobalPointer,
    EncoderGlobalPointerConfig: EncoderForGlobalPointer,
    EncoderEfficientGlobalPointerConfig: EncoderForEfficientGlobalPointer,
}


class TokenClassificationPipeline(transformers.TokenClassificationPipeline):
    """The stock pipeline, which would take the scores of spans for those of tokens, and refuses to."""

    def __init__(self, *args: Any, model: Any, **kwargs: Any) -> None:
        if type(model.config) in MODELS:
            raise ValueError(
                f"{type(model).__name__} finds entities as spans, not token by token: give `pipeline` the task "
                f'"{TASK}" in place of "token-classification" or "ner".'
            )
        super().__init__(*args, model=model, **kwargs)


def register() -> None:
    """Register configurations, models and the pipeline task; doing it again changes nothing."""
    for config_class, model_class in MODELS.items():
        AutoConfig.register(config_class.model_type, config_class, exist_ok=True)
        AutoModel.register(config_class, model_class, exist_ok=True)
        AutoModelForTokenClassification.register(config_class, model_class, exist_ok=True)
    PIPELINE_REGISTRY.supported_tasks["token-classification"]["impl"] = TokenClassificationPipeline
    if TASK not in PIPELINE_REGISTRY.supported_tasks:
        PIPELINE_REGISTRY.register_pipeline(
            TASK, GlobalPointerNerPipeline, pt_model=AutoModelForTokenClassification, type="text"
        )
        # With this attribute, `save_pretrained` of a pipeline writes its code into the checkpoint, and from then on
        # `pipeline` demands trust in remote code, although the task is registered here.
        del GlobalPointerNerPipeline._registered_impl
