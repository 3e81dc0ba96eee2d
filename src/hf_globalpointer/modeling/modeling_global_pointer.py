"""The GlobalPointer heads (Su et al., 2022, https://arxiv.org/abs/2208.03054) and the models that carry them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from transformers import BertModel, BertPreTrainedModel, PreTrainedConfig, PreTrainedModel
from transformers.utils import ModelOutput, can_return_tuple

from .configuration_global_pointer import BertEfficientGlobalPointerConfig, BertGlobalPointerConfig
from .loss_global_pointer import LOSSES
from .span_labels import spans_from_labels
from .span_scores import ScoredSpans, SpanScores


@dataclass
class GlobalPointerOutput(ModelOutput):
    """Output of the GlobalPointer models.

    Args:
        loss (`torch.FloatTensor` of shape `()`, *optional*): Returned with `labels`.
        logits (`torch.FloatTensor` of shape `(B, E, n, n)`, *optional*):
            The score of every span, -inf where there is none; returned without `labels` or with `output_logits=True`.
        spans (`torch.LongTensor` of shape `(B, K, 3)`, *optional*):
            The predicted spans, rows (type, first token, last token) padded with -100; returned with `labels` in
            evaluation mode.
        hidden_states (`tuple[torch.FloatTensor]`, *optional*): The encoder's, with `output_hidden_states=True`.
        attentions (`tuple[torch.FloatTensor]`, *optional*): The encoder's, with `output_attentions=True`.
    """

    loss: Tensor | None = None
    logits: Tensor | None = None
    spans: Tensor | None = None
    hidden_states: tuple[Tensor, ...] | None = None
    attentions: tuple[Tensor, ...] | None = None


class Float32Linear(nn.Linear):
    """A linear layer that computes in float32, or wider, whatever the dtype of its weights, its input or autocast."""

    def forward(self, input: Tensor) -> Tensor:
        """Map `(..., in_features)` to float32 `(..., out_features)`."""
        dtype = torch.promote_types(input.dtype, torch.float32)
        with torch.autocast(input.device.type, enabled=False):
            return nn.functional.linear(input.to(dtype), self.weight.to(dtype), self.bias.to(dtype))


def rotate(states: Tensor, theta: float, scale: float = 1.0) -> Tensor:
    """Apply rotary position embedding (eq. 5; Su et al., 2021) to interleaved pairs (2i, 2i+1).

    Args:
        states (`torch.FloatTensor` of shape `(..., n, d)`): Vectors of positions 0 to n - 1.
        theta (`float`): Base period.
        scale (`float`, *optional*, defaults to 1.0): What to multiply the vectors with on the way.

    Returns:
        Float `(..., n, d)`: pair i of position p, as a complex number, times scale * e^(i p theta^(-2i/d)).
    """
    n, size = states.shape[-2:]
    # In float32 the angle of position 8,000 is off by up to 4e-4, which would show in the scores of long texts.
    wide = torch.float32 if states.device.type == "mps" else torch.float64
    frequency = theta ** (-torch.arange(0, size, 2, device=states.device, dtype=wide) / size)
    angle = torch.arange(n, device=states.device, dtype=wide)[:, None] * frequency
    rotation = torch.complex((scale * angle.cos()).to(states.dtype), (scale * angle.sin()).to(states.dtype))
    pairs = torch.view_as_complex(states.reshape(*states.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * rotation).flatten(-2)


class SpanHead(nn.Module):
    """What the two heads share: dropout before them, rotation and scaling after, and the mask."""

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__()
        self.num_types: int = config.num_labels
        self.head_size: int = config.head_size
        self.rope_theta: float | None = config.rope_theta if config.use_rope else None
        self.dropout = nn.Dropout(config.head_dropout)

    def _scores(
        self,
        query: Tensor,
        key: Tensor,
        attention_mask: Tensor | None,
        span_token_mask: Tensor | None,
        start: Tensor | None = None,
        end: Tensor | None = None,
    ) -> SpanScores:
        """Build the scores from query and key `(B, H, n, d)`, and start and end `(B, E, n)`."""
        scale = self.head_size**-0.5
        if self.rope_theta is None:
            query = query * scale
        else:
            query, key = rotate(query, self.rope_theta, scale), rotate(key, self.rope_theta)
        mask = query.new_ones((query.shape[0], query.shape[2]), dtype=torch.bool)
        for name, given in (("attention_mask", attention_mask), ("span_token_mask", span_token_mask)):
            if given is None:
                continue
            if given.shape != mask.shape:
                raise ValueError(f"`{name}` must have shape {tuple(mask.shape)} (batch, n), got {tuple(given.shape)}.")
            mask = mask & given.to(mask.device).bool()
        return SpanScores(query, key, start, end, mask)


class GlobalPointerHead(SpanHead):
    """One query and one key projection for each entity type (eq. 2-5)."""

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__(config)
        self.dense = Float32Linear(config.hidden_size, self.num_types * 2 * self.head_size)

    def forward(
        self, hidden_states: Tensor, attention_mask: Tensor | None = None, span_token_mask: Tensor | None = None
    ) -> SpanScores:
        """Score all spans of hidden states `(B, n, H)`; the masks are `(B, n)`, 1 for tokens that may bound a span."""
        query, key = self._query_and_key(hidden_states)
        return self._scores(query, key, attention_mask, span_token_mask)

    def _query_and_key(self, hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        """Both `(B, E, n, d)`, in the order in which spans are scored, so that no product has to copy them."""
        states = self.dense(self.dropout(hidden_states)).unflatten(-1, (self.num_types, 2, self.head_size))
        query, key = states.permute(3, 0, 2, 1, 4).contiguous().unbind(0)
        return query, key


class EfficientGlobalPointerHead(SpanHead):
    """One query and one key projection for all types, plus a start and an end score for each type (eq. 6 or 7)."""

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__(config)
        self.from_hidden: bool = config.span_representation == "hidden"
        self.dense_1 = Float32Linear(config.hidden_size, 2 * self.head_size)
        size = config.hidden_size if self.from_hidden else 2 * self.head_size
        self.dense_2 = Float32Linear(size, 2 * self.num_types)

    def forward(
        self, hidden_states: Tensor, attention_mask: Tensor | None = None, span_token_mask: Tensor | None = None
    ) -> SpanScores:
        """Score all spans of hidden states `(B, n, H)`; the masks are `(B, n)`, 1 for tokens that may bound a span."""
        hidden_states = self.dropout(hidden_states)
        states = self.dense_1(hidden_states)
        query, key = states.unsqueeze(1).chunk(2, dim=-1)
        # Halved as in the authors' code, so that start + end weighs as much as one of them would.
        bounds = self.dense_2(hidden_states if self.from_hidden else states) / 2
        start, end = bounds.transpose(1, 2).contiguous().unflatten(1, (self.num_types, 2)).unbind(2)
        return self._scores(query, key, attention_mask, span_token_mask, start, end)


class GenericForGlobalPointer(PreTrainedModel):
    """What makes an encoder class a GlobalPointer model; a model class adds only its config, encoder and head."""

    head_class: type[SpanHead]
    # The loss is a mean over samples and types; Trainer must divide it by the accumulation steps.
    accepts_loss_kwargs = False
    # What checkpoints of encoders carry for other tasks; the load report would list it.
    _keys_to_ignore_on_load_unexpected: ClassVar[list[str]] = [r"pooler", r"^cls\.", r"position_ids"]

    def __init__(self, config: PreTrainedConfig) -> None:
        if config.num_labels == 0:
            raise ValueError(
                f"{type(self).__name__} needs entity types: pass them in order, as in "
                f'`{type(self).__name__}.from_pretrained(..., labels=["person", "place"])` or '
                f'`{type(config).__name__}(labels=["person", "place"])`.'
            )
        super().__init__(config)
        setattr(self, self.base_model_prefix, self._make_encoder(config))
        self.classifier = self.head_class(config)
        self.post_init()

    def _make_encoder(self, config: PreTrainedConfig) -> PreTrainedModel:
        """The encoder, without weights of its own: `from_pretrained` fills them in."""
        raise NotImplementedError(f"{type(self).__name__} must say how its encoder is made.")

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
        **kwargs: Any,
    ) -> GlobalPointerOutput:
        """Encode a batch of token sequences and score its spans.

        Args:
            input_ids (`torch.LongTensor` of shape `(B, n)`, *optional*): Token ids.
            attention_mask (`torch.Tensor` of shape `(B, n)`, *optional*): 1 for tokens, 0 for padding.
            token_type_ids (`torch.LongTensor` of shape `(B, n)`, *optional*): Segment ids, for encoders with segments.
            position_ids (`torch.LongTensor` of shape `(B, n)`, *optional*): Positions for the encoder.
            inputs_embeds (`torch.FloatTensor` of shape `(B, n, H)`, *optional*): Instead of `input_ids`.
            labels (`torch.LongTensor` of shape `(B, M, 3)`, *optional*):
                Gold spans, rows (type, first token, last token inclusive) padded with -100; dense 0/1 labels
                `(B, E, n, n)` are accepted too.
            span_token_mask (`torch.Tensor` of shape `(B, n)`, *optional*):
                1 for the tokens that may begin or end a span; defaults to `attention_mask`.
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
            positives = spans_from_labels(labels, scores.num_types, scores.mask)
            loss = LOSSES[self.config.span_loss](scores, positives, self.config.score_threshold)
            if not self.training:
                spans = self.decode(scores).spans
        if output_logits is None:
            output_logits = labels is None
        return GlobalPointerOutput(
            loss=loss,
            logits=scores.dense() if output_logits else None,
            spans=spans,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
        )

    def span_scores(self, **inputs: Any) -> SpanScores:
        """Encode and score a batch without building the logits; takes the inputs of `forward` but `labels`."""
        return self._encode(**inputs)[0]

    def decode(self, scores: SpanScores, thresholds: Mapping[str, float] | float | None = None) -> ScoredSpans:
        """The predicted spans among `scores`, at most `config.max_spans` of a sample.

        Args:
            scores (`SpanScores`): As [`span_scores`] returns.
            thresholds (`dict[str, float]` or `float`, *optional*):
                Probability above which a span is predicted, for all labels or label by label; those not given are the
                configuration's: 0.5, that is s > s_TH, unless `config.thresholds` says otherwise.

        Raises:
            ValueError: If a threshold is not in (0, 1) or its label is unknown.
        """
        limits = torch.logit(torch.tensor(self._probabilities(thresholds), dtype=torch.float64))
        limits = (limits + self.config.score_threshold).to(scores.query)
        return scores.above(limits, max_spans=self.config.max_spans)

    def _probabilities(self, thresholds: Mapping[str, float] | float | None) -> list[float]:
        """The threshold of each label, in the order of their ids."""
        if thresholds is None:
            thresholds = {}
        elif not isinstance(thresholds, Mapping):
            thresholds = dict.fromkeys(self.config.label2id, float(thresholds))
        given = {**(self.config.thresholds or {}), **thresholds}
        for label, threshold in given.items():
            if label not in self.config.label2id:
                raise ValueError(f"Threshold for {label!r}, which is none of {list(self.config.label2id)}.")
            if not 0 < threshold < 1:
                raise ValueError(f"A threshold is a probability in (0, 1), got {threshold} for {label!r}.")
        return [given.get(self.config.id2label[index], 0.5) for index in range(self.config.num_labels)]

    def _encode(
        self, attention_mask: Tensor | None = None, span_token_mask: Tensor | None = None, **kwargs: Any
    ) -> tuple[SpanScores, ModelOutput]:
        encoder_inputs = {name: value for name, value in kwargs.items() if value is not None}
        outputs = self.base_model(**{**encoder_inputs, "attention_mask": attention_mask, "return_dict": True})
        return self.classifier(outputs.last_hidden_state, attention_mask, span_token_mask), outputs


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
