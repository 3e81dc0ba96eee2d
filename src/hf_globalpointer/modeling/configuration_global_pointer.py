"""Configurations of the GlobalPointer models: the encoder's own fields plus those of the span head."""

import copy
import math
import os
from collections.abc import Collection, Mapping, Sequence, Set
from dataclasses import fields
from typing import Any, ClassVar, Literal, Self

from huggingface_hub.dataclasses import strict
from transformers import AutoConfig, BertConfig, PreTrainedConfig

from .remote_code import write_code
from .weight_files import WEIGHTS_FIELD, refuse_weights_field


LABEL_FIELDS = ("labels", "id2label", "label2id", "num_labels")
# What tells Transformers to run code from the checkpoint, in place of the package's own.
_CODE_FIELDS = ("auto_map", "custom_pipelines")
# More entity types than any data set has: a file that asks for more is broken, or meant to exhaust the memory.
_MOST_LABELS = 100_000


def _labels_by_id(
    labels: Sequence[str] | None = None,
    id2label: Mapping[Any, str] | None = None,
    label2id: Mapping[str, int] | None = None,
    num_labels: int | None = None,
) -> dict[int, str] | None:
    """The labels by id, from whichever form they are given in; none where only their number is given.

    Raises:
        ValueError: If two forms disagree, `labels` is no list or an empty one, or there are too many.
    """
    if labels is not None and (id2label is not None or label2id is not None):
        raise ValueError("Give the entity types once: either `labels` or `id2label`, not both.")
    by_id = None
    if labels is not None:
        by_id = dict(enumerate(_label_list(labels)))
    elif id2label is not None:
        by_id = {int(index): label for index, label in id2label.items()}
    elif label2id is not None:
        by_id = {index: label for label, index in label2id.items()}
    elif num_labels is None:
        by_id = {}
    if label2id is not None and {index: label for label, index in label2id.items()} != by_id:
        raise ValueError(f"`label2id` {label2id} is not the inverse of `id2label` {by_id}.")
    _check_number(num_labels, by_id)
    return by_id


def _label_list(labels: Sequence[str]) -> Sequence[str]:
    if isinstance(labels, str | Set):
        raise ValueError(
            f"`labels` must be a list of entity types, whose order tells their ids, got the {type(labels).__name__} "
            f"{labels!r}."
        )
    if not len(labels):
        raise ValueError("`labels` must name at least one entity type, got an empty list.")
    return labels


def _check_number(num_labels: int | None, by_id: Mapping[int, str] | None) -> None:
    if by_id is not None and num_labels not in (None, len(by_id)):
        raise ValueError(f"`num_labels` is {num_labels}, but {len(by_id)} entity types are given.")
    number = len(by_id) if by_id is not None else num_labels or 0
    if not 0 <= number <= _MOST_LABELS:
        raise ValueError(f"The number of entity types must be between 0 and {_MOST_LABELS}, got {number}.")


def _kept(by_label: Mapping[str, Any] | None, labels: Collection[str]) -> Any:
    """What belongs to labels that stay; what is no mapping is left to be refused."""
    if not isinstance(by_label, Mapping):
        return by_label
    return {label: value for label, value in by_label.items() if label in labels} or None


class GlobalPointerConfigMixin(PreTrainedConfig):
    """Fields of the span head, shared by every GlobalPointer configuration.

    Entity types are `id2label` / `label2id`, without "O" and without BIO prefixes; `labels=["PER", "LOC"]` is the
    short way to give them. A configuration without entity types has `num_labels == 0`, and no model can be built
    from it.

    Args:
        head_size (`int`, *optional*, defaults to 64):
            Dimension d of the query and key vectors (eq. 2-3 of the paper). Even, where `use_rope` is on.
        use_rope (`bool`, *optional*, defaults to `True`):
            Whether queries and keys are rotated by their position (eq. 5).
        rope_theta (`float`, *optional*, defaults to 10000.0):
            Base period of the rotary embedding.
        span_loss (`str`, *optional*, defaults to `"class_imbalance"`):
            `"class_imbalance"` (eq. 11, 13) or `"bce"` (binary cross-entropy over all spans, for the ablation).
        score_threshold (`float`, *optional*, defaults to 0.0):
            s_TH of eq. 10-11: a span is predicted where its score is greater.
        thresholds (`dict[str, float]`, *optional*):
            Probability in (0, 1) per label above which a span is predicted; for labels not named it is 0.5, which
            without `calibration` stands for `score_threshold`.
        calibration (`dict[str, list[float]]`, *optional*):
            Scale, above 0, and shift per label: the probability of a span that scores s is
            sigmoid(scale (s - score_threshold) + shift). For labels not named they are 1 and 0. Found by
            `tune-thresholds` and [`calibrate`].
        head_dropout (`float`, *optional*, defaults to 0.1):
            Dropout on the encoder's hidden states before the head.
        max_spans (`int`, *optional*, defaults to 1024):
            The most spans that are kept of one sequence in evaluation and in the pipeline: the best ones.
        overlap (`str`, *optional*, defaults to `"all"`):
            Which predicted entities may go together: `"all"`; `"nested"`, none that cross; `"flat"`, none that
            overlap. Training finds it in its data, as it does the next two: see [`find_span_rules`].
        max_span_length (`int`, *optional*):
            The most tokens of a span; what is longer is no span anywhere, and costs nothing. Without it, any length.
        max_length (`int`, *optional*):
            The tokens of a window in which texts are read, special ones included; without it, as many as the encoder
            takes.
        word_aligned (`bool`, *optional*, defaults to `False`):
            Whether the model was trained on, and the pipeline gives, only spans that begin and end where words do.
        mark_capitals (`bool`, *optional*, defaults to `False`):
            Whether the encoder is told which tokens begin with a capital letter, which an uncased tokenizer hides
            from it: their `token_type_ids` are 1. In a text without small letters none is marked. Training turns it
            on where it helps: see [`find_span_rules`].
        labels (`Sequence[str]`, *optional*):
            Entity types in order; stored as `id2label` and `label2id`.
    """

    id2label: dict[int, str] | dict[str, str] | None = None
    label2id: dict[str, int] | None = None
    head_size: int = 64
    use_rope: bool = True
    rope_theta: float | int = 10000.0
    span_loss: Literal["class_imbalance", "bce"] = "class_imbalance"
    score_threshold: float | int = 0.0
    thresholds: dict[str, float] | None = None
    calibration: dict[str, list[float | int]] | None = None
    head_dropout: float | int = 0.1
    max_spans: int = 1024
    overlap: Literal["all", "nested", "flat"] = "all"
    max_span_length: int | None = None
    max_length: int | None = None
    word_aligned: bool = False
    mark_capitals: bool = False

    # The type of plain encoder checkpoints that a new model may be started from.
    encoder_model_type: ClassVar[str | None] = None
    # Trainer evaluation gathers the spans alone.
    keys_to_ignore_at_inference: ClassVar[list[str]] = ["hidden_states", "attentions"]

    # `PreTrainedConfig` hands every argument that is no field to `__post_init__` by name.
    def __post_init__(self, labels: Sequence[str] | None = None, **kwargs: Any) -> None:
        refuse_weights_field(kwargs, "the configuration")
        id2label = _labels_by_id(labels, self.id2label, self.label2id, kwargs.get("num_labels"))
        if id2label is not None:
            self.id2label, self.label2id = id2label, {label: index for index, label in id2label.items()}
        super().__post_init__(**kwargs)

    def validate_labels(self) -> None:
        """Entity types must be distinct, non-empty strings numbered from 0."""
        id2label, label2id = dict(self.id2label or {}), self.label2id or {}
        if set(id2label) != set(range(len(id2label))):
            raise ValueError(f"The keys of `id2label` must be 0 to {len(id2label) - 1}, got {list(id2label)}.")
        seen = set()
        for index, label in id2label.items():
            if not isinstance(label, str) or not label:
                raise ValueError(f"Entity type {index} must be a non-empty string, got {label!r}.")
            if label in seen:
                raise ValueError(f"Entity type {label!r} occurs twice in `id2label`.")
            seen.add(label)
        if label2id != {label: index for index, label in id2label.items()}:
            raise ValueError(f"`label2id` {label2id} is not the inverse of `id2label` {id2label}.")

    def validate_span_head(self) -> None:
        """The numbers of the span head must be ones it can be built and run with."""
        if self.head_size < 1 or (self.use_rope and self.head_size % 2):
            raise ValueError(f"`head_size` must be positive, and even with `use_rope`, got {self.head_size}.")
        if not 1 < self.rope_theta < math.inf:
            raise ValueError(f"`rope_theta` must be a number greater than 1, got {self.rope_theta}.")
        if not -math.inf < self.score_threshold < math.inf:
            raise ValueError(f"`score_threshold` must be a finite number, got {self.score_threshold}.")
        if not 0 <= self.head_dropout < 1:
            raise ValueError(f"`head_dropout` must be in [0, 1), got {self.head_dropout}.")
        for name in ("max_spans", "max_span_length", "max_length"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"`{name}` must be at least 1, got {value}.")

    def has_segments(self) -> bool:
        """Whether the encoder tells tokens with `token_type_ids` of 1 from the others."""
        config = self.get_text_config()
        # In the file of another encoder it may be a leftover, which nothing reads.
        is_read = "type_vocab_size" in {field.name for field in fields(config)}
        return is_read and (config.type_vocab_size or 0) > 1

    def validate_capitals(self) -> None:
        """Capitals are marked by what the encoder reads."""
        if self.mark_capitals and not self.has_segments():
            raise ValueError(
                "`mark_capitals` tells an encoder of capitals by `token_type_ids`, and this one knows none but 0."
            )

    def validate_thresholds(self) -> None:
        """Thresholds are probabilities of known labels."""
        labels = self.label2id or {}
        for label, threshold in (self.thresholds or {}).items():
            if label not in labels:
                raise ValueError(f"`thresholds` names {label!r}, which is none of the labels {list(labels)}.")
            if not 0 < threshold < 1:
                raise ValueError(f"`thresholds[{label!r}]` must be in (0, 1), got {threshold}.")

    def validate_calibration(self) -> None:
        """Scales are above 0, so that a higher score is a higher probability; labels are known."""
        labels = self.label2id or {}
        for label, numbers in (self.calibration or {}).items():
            if label not in labels:
                raise ValueError(f"`calibration` names {label!r}, which is none of the labels {list(labels)}.")
            if len(numbers) != 2 or not 0 < numbers[0] < math.inf or not math.isfinite(numbers[1]):
                raise ValueError(f"`calibration[{label!r}]` must be a scale above 0 and a shift, got {numbers}.")

    @classmethod
    def get_config_dict(
        cls, pretrained_model_name_or_path: Any, **kwargs: Any
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Read a configuration file; that of a plain encoder is taken as the start of a new model without labels.

        Raises:
            ValueError: If the file belongs to a model of another kind.
        """
        config_dict, kwargs = super().get_config_dict(pretrained_model_name_or_path, **kwargs)
        model_type = config_dict.get("model_type", cls.encoder_model_type)
        if model_type == cls.encoder_model_type:
            # Labels and architecture there belong to whatever task the checkpoint was used for before.
            config_dict = {k: v for k, v in config_dict.items() if k not in (*LABEL_FIELDS, "architectures")}
            config_dict["model_type"] = cls.model_type
        elif model_type != cls.model_type:
            plain = f" and plain {cls.encoder_model_type!r}" if cls.encoder_model_type else ""
            raise ValueError(
                f"{pretrained_model_name_or_path} is a checkpoint of type {model_type!r}; {cls.__name__} reads "
                f"{cls.model_type!r}{plain} checkpoints. To start from a plain encoder of any type, use "
                "`EncoderForGlobalPointer.from_encoder_pretrained` or that of `EncoderForEfficientGlobalPointer`."
            )
        return config_dict, kwargs

    @classmethod
    def from_dict(cls, config_dict: dict[str, Any], **kwargs: Any) -> Any:
        """As in `PreTrainedConfig`; entity types among `kwargs` replace those of `config_dict`.

        Thresholds and calibration stay for the labels that stay.
        """
        if __name__.startswith("hf_globalpointer."):
            # The package is installed: nothing of the code that the checkpoint may carry is wanted, or saved again.
            config_dict = {k: v for k, v in config_dict.items() if k not in _CODE_FIELDS}
        given = {name: kwargs.pop(name) for name in LABEL_FIELDS if kwargs.get(name) is not None}
        if given:
            config_dict = {k: v for k, v in config_dict.items() if k not in LABEL_FIELDS} | given
            id2label = _labels_by_id(**given) or {}
            for name in ("thresholds", "calibration"):
                config_dict[name] = _kept(config_dict.get(name), id2label.values())
        return super().from_dict(config_dict, **kwargs)

    def with_labels(self, labels: Sequence[str]) -> Self:
        """A copy with other entity types, and thresholds and calibration of those that stay.

        Args:
            labels (`Sequence[str]`): The entity types in order.

        Raises:
            ValueError: If they are no list, or none at all.
            StrictDataclassClassValidationError: If they are not distinct, non-empty strings.
        """
        config = copy.deepcopy(self)
        config.id2label = _labels_by_id(labels) or {}
        config.label2id = {label: index for index, label in config.id2label.items()}
        config.thresholds, config.calibration = _kept(self.thresholds, labels), _kept(self.calibration, labels)
        config.validate()
        return config

    def save_pretrained(self, save_directory: str | os.PathLike[str], **kwargs: Any) -> None:
        """As in `PreTrainedConfig`; with the code that the configuration names, if it does."""
        super().save_pretrained(save_directory, **kwargs)
        if "auto_map" in vars(self):
            write_code(save_directory)

    def to_diff_dict(self) -> dict[str, Any]:
        """As in `PreTrainedConfig`; entity types are always written, also two that bear its default names."""
        return {**super().to_diff_dict(), "id2label": self.id2label, "label2id": self.label2id}


@strict
class BertGlobalPointerConfig(GlobalPointerConfigMixin, BertConfig):
    """Configuration of [`BertForGlobalPointer`]: `BertConfig` plus the fields of [`GlobalPointerConfigMixin`]."""

    model_type = "bert-global-pointer"
    encoder_model_type = "bert"


class EfficientConfigMixin(PreTrainedConfig):
    """The field that the efficient head has besides those of [`GlobalPointerConfigMixin`].

    Args:
        span_representation (`str`, *optional*, defaults to `"query_key"`):
            What the type scores are computed from: `"query_key"`, the shared query and key vectors before rotation
            (eq. 7), or `"hidden"`, the encoder's hidden states (eq. 6).
    """

    span_representation: Literal["query_key", "hidden"] = "query_key"


class EncoderConfigMixin(GlobalPointerConfigMixin):
    """Fields of a model that is composed of any encoder and a span head.

    Args:
        encoder_config (`PreTrainedConfig` or `dict`):
            The configuration of the encoder, of any type that `AutoConfig` knows.
    """

    encoder_config: PreTrainedConfig | dict[str, Any] | None = None

    sub_configs: ClassVar[dict[str, Any]] = {"encoder_config": AutoConfig}

    def __post_init__(self, labels: Sequence[str] | None = None, **kwargs: Any) -> None:
        if self.encoder_config is None:
            self.encoder_config = BertConfig()
        elif isinstance(self.encoder_config, dict):
            # The weights and the code of the whole model are all that there is.
            left_out = (*_CODE_FIELDS, WEIGHTS_FIELD)
            fields = {name: value for name, value in self.encoder_config.items() if name not in left_out}
            self.encoder_config = AutoConfig.for_model(fields.pop("model_type", "bert"), **fields)
        if isinstance(self.encoder_config, GlobalPointerConfigMixin):
            raise ValueError(
                f"The encoder is of type {self.encoder_config.model_type!r}, which is a whole model with a span head. "
                "To go on with it, give its checkpoint to `from_pretrained(..., labels=[...])` of its own class."
            )
        super().__post_init__(labels, **kwargs)

    @property
    def hidden_size(self) -> int:
        """The size of the encoder's hidden states."""
        size: int = self.encoder_config.hidden_size  # type: ignore[union-attr]
        return size

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> PreTrainedConfig:
        """The encoder's: it holds the size of the vocabulary."""
        return self.encoder_config.get_text_config(decoder=decoder, encoder=encoder)  # type: ignore[union-attr]


@strict
class BertEfficientGlobalPointerConfig(EfficientConfigMixin, GlobalPointerConfigMixin, BertConfig):
    """Configuration of [`BertForEfficientGlobalPointer`]: [`BertGlobalPointerConfig`]'s and `span_representation`."""

    model_type = "bert-efficient-global-pointer"
    encoder_model_type = "bert"


@strict
class EncoderGlobalPointerConfig(EncoderConfigMixin):
    """Configuration of [`EncoderForGlobalPointer`]: [`GlobalPointerConfigMixin`]'s fields and `encoder_config`."""

    model_type = "encoder-global-pointer"


@strict
class EncoderEfficientGlobalPointerConfig(EfficientConfigMixin, EncoderConfigMixin):
    """Configuration of [`EncoderForEfficientGlobalPointer`]: the fields of the efficient head and `encoder_config`."""

    model_type = "encoder-efficient-global-pointer"
