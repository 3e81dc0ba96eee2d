"""Encoders with a GlobalPointer head (Su et al., 2022, https://arxiv.org/abs/2208.03054)."""

import inspect
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from functools import partial
from typing import Any, ClassVar, Unpack

import torch
from torch import Tensor, nn
from transformers import (
    MODEL_FOR_TEXT_ENCODING_MAPPING,
    MODEL_MAPPING,
    AutoConfig,
    BertModel,
    BertPreTrainedModel,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers.utils import ModelOutput, TransformersKwargs, can_return_tuple, logging

from .configuration_global_pointer import (
    LABEL_FIELDS,
    BertEfficientGlobalPointerConfig,
    BertGlobalPointerConfig,
    EncoderEfficientGlobalPointerConfig,
    EncoderGlobalPointerConfig,
)
from .loss_global_pointer import LOSSES
from .remote_code import code_fields
from .span_decoding import label_thresholds
from .span_heads import EfficientGlobalPointerHead, GlobalPointerHead, SpanHead
from .span_labels import spans_from_labels
from .span_probabilities import score_limits
from .span_scores import ScoredSpans, SpanScores
from .weight_files import check_weight_files, safetensors_only


logger = logging.get_logger(__name__)

# Arguments of `from_pretrained` that say where a checkpoint is.
_HUB_ARGUMENTS = ("cache_dir", "force_download", "proxies", "local_files_only", "token", "revision", "subfolder")


@dataclass
class GlobalPointerOutput(ModelOutput):
    """Output of the GlobalPointer models.

    Args:
        loss (`torch.FloatTensor` of shape `()`, *optional*): Returned with `labels`.
        logits (`torch.FloatTensor` of shape `(B, E, n, n)`, *optional*):
            The score of every span, the lowest number of the dtype where there is none; returned without `labels` or
            with `output_logits=True`.
        spans (`torch.LongTensor` of shape `(B, K, 3)`, *optional*):
            The predicted spans, rows (label, start token, end token) padded with -100, by the rule `config.overlap`;
            returned with `labels` in evaluation mode.
        hidden_states (`tuple[torch.FloatTensor]`, *optional*): The encoder's, with `output_hidden_states=True`.
        attentions (`tuple[torch.FloatTensor]`, *optional*): The encoder's, with `output_attentions=True`.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    spans: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class GenericForGlobalPointer(PreTrainedModel):
    """What makes an encoder class a GlobalPointer model; a model class adds only its config, encoder and head."""

    head_class: type[SpanHead]
    # The loss is a mean over samples and types; Trainer must divide it by the accumulation steps.
    accepts_loss_kwargs = False
    # The head computes in float32; this also tells quantizers to leave it alone.
    _keep_in_fp32_modules: ClassVar[list[str]] = ["classifier"]
    # What checkpoints of encoders carry for other tasks; the load report would list it.
    _keys_to_ignore_on_load_unexpected: ClassVar[list[str]] = [r"pooler", r"^cls\.", r"position_ids"]
    # Those of the head that the checkpoint of a GlobalPointer model lacked, from which this one was loaded.
    missing_head_weights: Sequence[str] = ()

    def __init__(self, config: PreTrainedConfig, encoder: PreTrainedModel | None = None) -> None:
        if config.num_labels == 0:
            raise ValueError(
                f"{type(self).__name__} needs entity types: pass them in order, as in "
                f'`{type(self).__name__}.from_pretrained(..., labels=["person", "place"])` or '
                f'`{type(config).__name__}(labels=["person", "place"])`.'
            )
        super().__init__(config)
        setattr(self, self.base_model_prefix, self._make_encoder(config) if encoder is None else encoder)
        self.classifier = self.head_class(config)
        self.takes_token_types = "token_type_ids" in inspect.signature(self.base_model.forward).parameters
        self.post_init()

    def _make_encoder(self, config: PreTrainedConfig) -> PreTrainedModel:
        """The encoder, without weights of its own: `from_pretrained` fills them in."""
        raise NotImplementedError(f"{type(self).__name__} must say how its encoder is made.")

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str] | None,
        *args: Any,
        config: PreTrainedConfig | str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> Any:
        """As in `PreTrainedModel`, with two promises: safetensors only, and no type scored by another's weights.

        Where the checkpoint is of this kind, and `labels`, `id2label` or `config` give entity types that are not its
        own, in its order, those of the same name keep their weights and the others get new ones: see [`set_labels`].

        Args:
            pretrained_model_name_or_path (`str`, `os.PathLike` or `None`): A folder or the id of a Hub repository.
            args: Passed on.
            config (`PreTrainedConfig` or `str`, *optional*): A configuration to use in place of the checkpoint's.
            kwargs: Fields of the configuration, `labels` or `id2label` above all, and options of `PreTrainedModel`.

        Raises:
            ValueError: If weights that are not safetensors are asked for (`use_safetensors=False`), the checkpoint is
                of another kind, or it names weight files outside of it.
            OSError: If there are no weights in safetensors.
        """
        name = pretrained_model_name_or_path
        load = safetensors_only(partial(super().from_pretrained, name, *args))
        if name is None:
            return load(config=config, **kwargs)
        where = {key: kwargs[key] for key in _HUB_ARGUMENTS if key in kwargs}
        check_weight_files(name, variant=kwargs.get("variant"), **where)
        if PreTrainedConfig.get_config_dict(name, **where)[0].get("model_type") == cls.config_class.model_type:
            load = _noting_missing_weights(load)
        if isinstance(config, PreTrainedConfig):
            wanted = config
        elif config is None and not any(field in kwargs for field in LABEL_FIELDS):
            return load(**kwargs)
        else:
            source = name if config is None else config
            wanted, kwargs = cls.config_class.from_pretrained(source, return_unused_kwargs=True, **kwargs)
            kwargs |= where
        # Which row of the head belongs to which type only the checkpoint's own configuration tells.
        own, labels = _labels_in_order(cls.config_class.from_pretrained(name, **where)), _labels_in_order(wanted)
        if own in ([], labels):
            return load(config=wanted, **kwargs)
        loaded = load(config=wanted.with_labels(own), **kwargs)
        model = loaded[0] if isinstance(loaded, tuple) else loaded
        model.set_labels(labels)
        model.config.thresholds, model.config.calibration = wanted.thresholds, wanted.calibration
        return loaded

    def save_pretrained(self, save_directory: str | os.PathLike[str], with_code: bool = False, **kwargs: Any) -> None:
        """As in `PreTrainedModel`.

        Args:
            save_directory (`str` or `os.PathLike`): The folder.
            with_code (`bool`, *optional*, defaults to `False`):
                Whether to write the code of model and pipeline too, so that the checkpoint loads with
                `trust_remote_code=True` where this package is not installed. Where it is, that code is never run.
            kwargs: Passed on.
        """
        code = code_fields(self.config, type(self)) if with_code else {}
        try:
            for name, value in code.items():
                setattr(self.config, name, value)
            super().save_pretrained(save_directory, **kwargs)
        finally:
            for name in code:
                delattr(self.config, name)

    def set_labels(self, labels: Sequence[str]) -> None:
        """Change the entity types: those the model knows keep their weights, others get new ones; a log says which.

        Args:
            labels (`Sequence[str]`): The entity types in order.

        Raises:
            ValueError: If they are no list, or none at all.
            StrictDataclassClassValidationError: If they are not distinct, non-empty strings.
        """
        known, config = self.config.label2id, self.config.with_labels(labels)
        self.classifier.resize_labels([known.get(label) for label in labels], self._init_weights)
        self.config.id2label, self.config.label2id = config.id2label, config.label2id
        self.config.thresholds, self.config.calibration = config.thresholds, config.calibration
        logger.warning(
            "Entity types changed. "
            f"Weights reused: {[label for label in labels if label in known]}; "
            f"new, to be trained: {[label for label in labels if label not in known]}; "
            f"dropped: {[label for label in known if label not in labels]}."
        )

    def max_positions(self) -> int | None:
        """The most tokens of an input that the encoder has positions for, or `None` if nothing limits them."""
        for name, module in self.base_model.named_modules():
            if not name.endswith("position_embeddings") or not isinstance(module, nn.Embedding):
                continue
            # RoBERTa and its kin count positions from the one after the padding's.
            return module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
        limit: int | None = self.base_model.config.to_dict().get("max_position_embeddings")
        return limit

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile encoder and head in place, so that [`span_scores`] and the pipeline run compiled as `forward` does.

        Args:
            args: Those of `torch.compile`.
            kwargs: Those of `torch.compile`, such as `dynamic=True`, with which it compiles once for all lengths.
        """
        self.base_model.compile(*args, **kwargs)
        self.classifier.compile(*args, **kwargs)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        token_type_ids: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        span_token_mask: Tensor | None = None,
        output_logits: bool | None = None,
        **kwargs: Unpack[TransformersKwargs],  # type: ignore[misc]
    ) -> GlobalPointerOutput:
        """Encode a batch of token sequences and score its spans.

        Args:
            input_ids (`torch.LongTensor` of shape `(B, n)`, *optional*): Token ids.
            attention_mask (`torch.Tensor` of shape `(B, n)`, *optional*): 1 for tokens, 0 for padding.
            token_type_ids (`torch.LongTensor` of shape `(B, n)`, *optional*): Segment ids, for encoders with segments.
            position_ids (`torch.LongTensor` of shape `(B, n)`, *optional*): Positions for the encoder.
            inputs_embeds (`torch.FloatTensor` of shape `(B, n, H)`, *optional*): Instead of `input_ids`.
            labels (`torch.LongTensor` of shape `(B, M, 3)`, *optional*):
                Gold spans, rows (label, start token, end token inclusive) padded with -100; dense 0/1 labels
                `(B, E, n, n)` are accepted too.
            span_token_mask (`torch.Tensor` of shape `(B, n)` or `(B, 2, n)`, *optional*):
                1 for the tokens that may begin or end a span, or for those that may begin and those that may end one;
                defaults to `attention_mask`, so that special tokens such as [CLS] may too: for the predictions of the
                pipeline, give `1 - special_tokens_mask`, which `tokenizer(text, return_special_tokens_mask=True)`
                returns.
            output_logits (`bool`, *optional*): Whether to return `logits`; defaults to whether `labels` are absent.
            kwargs: Passed on to the encoder (`output_hidden_states`, `output_attentions`, ...).

        Raises:
            ValueError: If a mask or `labels` have the wrong shape, or a label row is not a span of its sequence.
        """
        scores, outputs = self._encode(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            span_token_mask=span_token_mask,
            **kwargs,
        )
        loss, spans = None, None
        if labels is not None:
            positives = spans_from_labels(labels, scores.num_labels, scores.mask, scores.max_span_length)
            loss = LOSSES[self.config.span_loss](scores, positives, self.config.score_threshold)
            if not self.training:
                spans = self.decode(scores).select(self.config.overlap).spans
        if output_logits is None:
            output_logits = labels is None
        return GlobalPointerOutput(
            loss=loss,
            # Finite, as what computes with logits expects.
            logits=scores.dense(fill=torch.finfo(scores.query.dtype).min) if output_logits else None,
            spans=spans,
            hidden_states=outputs.get("hidden_states"),
            attentions=outputs.get("attentions"),  # state space models have none
        )

    def span_scores(self, **inputs: Any) -> SpanScores:
        """Encode and score a batch without building the logits; takes the inputs of `forward` but `labels`."""
        return self._encode(**inputs)[0]

    def decode(
        self,
        scores: SpanScores,
        thresholds: Mapping[str, float] | float | None = None,
        max_spans: int | None = None,
    ) -> ScoredSpans:
        """The predicted spans among `scores`; for which of them may go together, see `ScoredSpans.select`.

        Args:
            scores (`SpanScores`): As [`span_scores`] returns.
            thresholds (`dict[str, float]` or `float`, *optional*):
                Probability above which a span is predicted, for all labels or label by label; those not given are the
                configuration's: 0.5, that is s > s_TH, unless `config.thresholds` says otherwise.
            max_spans (`int`, *optional*, defaults to `config.max_spans`): The most spans of a sample: the best ones.

        Raises:
            ValueError: If a threshold is not in (0, 1) or its label is unknown.
        """
        limits = torch.tensor(score_limits(self.config, thresholds), dtype=torch.float64).to(scores.query)
        return scores.above(limits, max_spans=self.config.max_spans if max_spans is None else max_spans)

    def label_thresholds(self, thresholds: Mapping[str, float] | float | None) -> list[float]:
        """The probability above which a span is predicted, for each label in the order of their ids.

        Args:
            thresholds (`dict[str, float]` or `float`, *optional*): As of [`decode`].

        Raises:
            ValueError: If a threshold is not in (0, 1) or its label is unknown.
        """
        return label_thresholds(self.config, thresholds)

    def _encode(
        self, attention_mask: Tensor | None = None, span_token_mask: Tensor | None = None, **kwargs: Any
    ) -> tuple[SpanScores, ModelOutput]:
        encoder_inputs = {name: value for name, value in kwargs.items() if value is not None}
        if not self.takes_token_types:
            encoder_inputs.pop("token_type_ids", None)
        outputs = self.base_model(**{**encoder_inputs, "attention_mask": attention_mask, "return_dict": True})
        hidden_states, longest = outputs.last_hidden_state, self.config.max_span_length
        return self.classifier(hidden_states, attention_mask, span_token_mask, longest), outputs


class BertWithSpanHead(GenericForGlobalPointer, BertPreTrainedModel):
    """BERT, without its pooler, under a span head."""

    def _make_encoder(self, config: PreTrainedConfig) -> BertModel:
        return BertModel(config, add_pooling_layer=False)


class BertForGlobalPointer(BertWithSpanHead):
    """BERT with a [`GlobalPointerHead`]."""

    config: BertGlobalPointerConfig
    head_class = GlobalPointerHead


class BertForEfficientGlobalPointer(BertWithSpanHead):
    """BERT with an [`EfficientGlobalPointerHead`]."""

    config: BertEfficientGlobalPointerConfig
    head_class = EfficientGlobalPointerHead


class EncoderWithSpanHead(GenericForGlobalPointer):
    """Any text encoder that `AutoModel` knows, under a span head."""

    base_model_prefix = "encoder"
    supports_gradient_checkpointing = True
    # What the encoder itself does not support, it says when it is made.
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    def _make_encoder(self, config: PreTrainedConfig) -> PreTrainedModel:
        encoder_class, options = _encoder_class(config.encoder_config)
        return encoder_class._from_config(config.encoder_config, **options)

    def initialize_weights(self) -> None:
        """As in `PreTrainedModel`, the encoder first."""
        # Below a class of another package Transformers passes over modules without weights of their own, in which
        # some encoders (ModernBERT) keep their rules.
        self.base_model.initialize_weights()
        super().initialize_weights()

    @classmethod
    def from_encoder_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], labels: Sequence[str] | None = None, **kwargs: Any
    ) -> Any:
        """A new model, to be trained, on a pretrained encoder.

        Args:
            pretrained_model_name_or_path (`str` or `os.PathLike`): The encoder: a folder or a Hub id.
            labels (`Sequence[str]`, *optional*): Entity types in order, if not given as `id2label`.
            kwargs: Fields of this model's configuration, such as `head_size`; the rest goes to the `from_pretrained`
                of the encoder (`dtype`, `revision`, `attn_implementation`, ...).

        Returns:
            The model; with `output_loading_info=True`, also what the loading of the encoder says.

        Raises:
            ValueError: If no entity types are given, `AutoModel` knows no encoder of this type, weights that are not
                safetensors are asked for, or the checkpoint names weight files outside of it.
            OSError: If there are no weights in safetensors.
        """
        own = {field.name for field in fields(cls.config_class)} - {field.name for field in fields(PreTrainedConfig)}
        own |= {"id2label", "label2id", "num_labels"}
        head_fields = {name: kwargs.pop(name) for name in own & kwargs.keys()}
        where = {key: kwargs[key] for key in _HUB_ARGUMENTS if key in kwargs}
        encoder_config = AutoConfig.from_pretrained(pretrained_model_name_or_path, **where)
        config = cls.config_class(encoder_config=encoder_config, labels=labels, **head_fields)
        encoder_class, options = _encoder_class(encoder_config)
        check_weight_files(pretrained_model_name_or_path, variant=kwargs.get("variant"), **where)
        loaded = safetensors_only(encoder_class.from_pretrained)(pretrained_model_name_or_path, **options, **kwargs)
        encoder = loaded[0] if isinstance(loaded, tuple) else loaded
        config.encoder_config, config.dtype = encoder.config, encoder.dtype
        model = cls(config, encoder=encoder).eval()
        # In float16 the head stays in float32, as it does when the model is loaded again.
        model.classifier.to(encoder.device, torch.float32 if encoder.dtype == torch.float16 else encoder.dtype)
        logger.warning(f"The span head of {cls.__name__} is new: train the model before you use it.")
        return (model, loaded[1]) if isinstance(loaded, tuple) else model


def _noting_missing_weights(load: Callable[..., Any]) -> Callable[..., Any]:
    """A loading function that leaves in the model what weights of its head the checkpoint lacks."""

    def wrapped(*, output_loading_info: bool = False, **kwargs: Any) -> Any:
        model, info = load(output_loading_info=True, **kwargs)
        model.missing_head_weights = sorted(key for key in info["missing_keys"] if key.startswith("classifier."))
        return (model, info) if output_loading_info else model

    return wrapped


def _labels_in_order(config: PreTrainedConfig) -> list[str]:
    """The labels of a configuration, by their ids."""
    return [config.id2label[index] for index in range(config.num_labels)]


def _encoder_class(config: PreTrainedConfig) -> tuple[type[PreTrainedModel], dict[str, bool]]:
    """The class of a text encoder, and the options to make it without a pooler, which would get no gradient."""
    # The first names the encoder alone of models such as T5, the second is longer.
    mapping = MODEL_FOR_TEXT_ENCODING_MAPPING if type(config) in MODEL_FOR_TEXT_ENCODING_MAPPING else MODEL_MAPPING
    if type(config) not in mapping or (mapping is MODEL_MAPPING and config.is_encoder_decoder):
        raise ValueError(f"There is no text encoder of type {config.model_type!r} among the models of Transformers.")
    found = mapping[type(config)]
    # Of several, as for Funnel, the first keeps every token.
    encoder_class: type[PreTrainedModel] = found[0] if isinstance(found, tuple) else found
    has_pooler = "add_pooling_layer" in inspect.signature(encoder_class.__init__).parameters
    return encoder_class, {"add_pooling_layer": False} if has_pooler else {}


class EncoderForGlobalPointer(EncoderWithSpanHead):
    """Any encoder with a [`GlobalPointerHead`]."""

    config: EncoderGlobalPointerConfig
    head_class = GlobalPointerHead


class EncoderForEfficientGlobalPointer(EncoderWithSpanHead):
    """Any encoder with an [`EfficientGlobalPointerHead`]."""

    config: EncoderEfficientGlobalPointerConfig
    head_class = EfficientGlobalPointerHead
