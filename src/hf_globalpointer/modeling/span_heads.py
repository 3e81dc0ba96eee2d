"""The GlobalPointer heads (Su et al., 2022, https://arxiv.org/abs/2208.03054): hidden states in, `SpanScores` out."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from transformers import PreTrainedConfig

from .head_linear import Float32Linear
from .span_scores import SpanScores


def rotary_factors(n: int, size: int, theta: float, like: Tensor) -> Tensor:
    """Rotary position embedding (eq. 5; Su et al., 2021), as what to multiply vectors with.

    Args:
        n (`int`): The number of positions.
        size (`int`): The size d of a vector.
        theta (`float`): Base period.
        like (`torch.FloatTensor`): The vectors, for their device and dtype.

    Returns:
        Complex `(n, d / 2)`: e^(i p theta^(-2k/d)) for position p, pair k.
    """
    # In float32 the angle of position 8,000 is off by up to 4e-4, which would show in the scores of long texts.
    wide = torch.float32 if like.device.type == "mps" else torch.float64
    frequency = theta ** (-torch.arange(0, size, 2, device=like.device, dtype=wide) / size)
    angle = torch.arange(n, device=like.device, dtype=wide)[:, None] * frequency
    return torch.complex(angle.cos().to(like.dtype), angle.sin().to(like.dtype))


def rotate(states: Tensor, factors: Tensor) -> Tensor:
    """Multiply interleaved pairs (2k, 2k+1) of `states` `(..., n, d)`, as complex numbers, with `factors`."""
    pairs = torch.view_as_complex(states.reshape(*states.shape[:-1], -1, 2))
    return torch.view_as_real(pairs * factors).flatten(-2)


def span_mask(query: Tensor, attention_mask: Tensor | None, span_token_mask: Tensor | None) -> Tensor:
    """Bool `(B, 2, n)`: the tokens that may begin, and those that may end a span.

    Args:
        query (`torch.FloatTensor` of shape `(B, E or 1, n, d)`): For batch, length and device.
        attention_mask (`torch.Tensor` of shape `(B, n)`, *optional*): 1 for tokens, 0 for padding.
        span_token_mask (`torch.Tensor` of shape `(B, n)` or `(B, 2, n)`, *optional*): As of the model's `forward`.

    Raises:
        ValueError: If a mask has another shape.
    """
    samples, n = query.shape[0], query.shape[2]
    mask = query.new_ones((samples, 2, n), dtype=torch.bool)
    if attention_mask is not None:
        if attention_mask.shape != (samples, n):
            raise ValueError(
                f"`attention_mask` must have shape {(samples, n)} (batch, n), got {tuple(attention_mask.shape)}."
            )
        mask = mask & attention_mask.to(mask.device).bool()[:, None]
    if span_token_mask is not None:
        if span_token_mask.shape not in ((samples, n), (samples, 2, n)):
            raise ValueError(
                f"`span_token_mask` must have shape {(samples, n)} (batch, n), or {(samples, 2, n)} with the "
                f"tokens that may begin and those that may end a span; got {tuple(span_token_mask.shape)}."
            )
        mask = mask & span_token_mask.to(mask.device).bool().view(samples, -1, n)
    return mask


class SpanHead(nn.Module):
    """What the two heads share: dropout before them, rotation and scaling after, the mask, and a change of types."""

    # The layer whose rows belong to entity types, as many to each.
    label_layer: str

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__()
        self.num_labels: int = config.num_labels
        self.head_size: int = config.head_size
        self.rope_theta: float | None = config.rope_theta if config.use_rope else None
        self.dropout = nn.Dropout(config.head_dropout)

    def resize_labels(self, sources: Sequence[int | None], initialize: Callable[[nn.Module], None]) -> None:
        """Score other entity types from now on.

        Args:
            sources (`Sequence[int | None]`): For each new type the old one whose weights it takes over, if any.
            initialize (`Callable[[nn.Module], None]`): What gives a new layer its weights.
        """
        old = self.get_submodule(self.label_layer)
        assert isinstance(old, nn.Linear)
        rows = old.out_features // self.num_labels
        new = Float32Linear(old.in_features, rows * len(sources), device=old.weight.device, dtype=old.weight.dtype)
        initialize(new)
        taken_over = [(index, source) for index, source in enumerate(sources) if source is not None]
        with torch.no_grad():
            for into, out_of in ((new.weight, old.weight), (new.bias, old.bias)):
                for index, source in taken_over:
                    into[index * rows : (index + 1) * rows] = out_of[source * rows : (source + 1) * rows]
        setattr(self, self.label_layer, new)
        self.num_labels = len(sources)

    def _scores(
        self,
        query: Tensor,
        key: Tensor,
        attention_mask: Tensor | None,
        span_token_mask: Tensor | None,
        max_span_length: int | None,
        start: Tensor | None = None,
        end: Tensor | None = None,
    ) -> SpanScores:
        """Build the scores from query and key `(B, H, n, d)`, and start and end `(B, E, n)`."""
        scale = self.head_size**-0.5
        if self.rope_theta is None:
            query = query * scale
        else:
            factors = rotary_factors(query.shape[-2], self.head_size, self.rope_theta, query)
            query, key = rotate(query, factors * scale), rotate(key, factors)
        mask = span_mask(query, attention_mask, span_token_mask)
        return SpanScores(query, key, start, end, mask, max_span_length)


class GlobalPointerHead(SpanHead):
    """One query and one key projection for each entity type (eq. 2-5)."""

    label_layer = "dense"

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__(config)
        self.dense = Float32Linear(config.hidden_size, self.num_labels * 2 * self.head_size)

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        span_token_mask: Tensor | None = None,
        max_span_length: int | None = None,
    ) -> SpanScores:
        """Score all spans of hidden states `(B, n, H)`; the masks are those of the model's `forward`."""
        query, key = self._query_and_key(hidden_states)
        return self._scores(query, key, attention_mask, span_token_mask, max_span_length)

    def _query_and_key(self, hidden_states: Tensor) -> tuple[Tensor, Tensor]:
        """Both `(B, E, n, d)`, in the order in which spans are scored, so that no product has to copy them."""
        states = self.dense(self.dropout(hidden_states)).unflatten(-1, (self.num_labels, 2, self.head_size))
        query, key = states.permute(3, 0, 2, 1, 4).contiguous().unbind(0)
        return query, key


class EfficientGlobalPointerHead(SpanHead):
    """One query and one key projection for all types, plus a start and an end score for each type (eq. 6 or 7)."""

    label_layer = "dense_2"

    def __init__(self, config: PreTrainedConfig) -> None:
        super().__init__(config)
        self.from_hidden: bool = config.span_representation == "hidden"
        self.dense_1 = Float32Linear(config.hidden_size, 2 * self.head_size)
        size = config.hidden_size if self.from_hidden else 2 * self.head_size
        self.dense_2 = Float32Linear(size, 2 * self.num_labels)

    def forward(
        self,
        hidden_states: Tensor,
        attention_mask: Tensor | None = None,
        span_token_mask: Tensor | None = None,
        max_span_length: int | None = None,
    ) -> SpanScores:
        """Score all spans of hidden states `(B, n, H)`; the masks are those of the model's `forward`."""
        hidden_states = self.dropout(hidden_states)
        states = self.dense_1(hidden_states)
        query, key = states.unsqueeze(1).chunk(2, dim=-1)
        start, end = self._start_and_end(hidden_states if self.from_hidden else states)
        return self._scores(query, key, attention_mask, span_token_mask, max_span_length, start, end)

    def _start_and_end(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Both `(B, E, n)`; with many types, every pass over them shows, so there is only that of the product."""
        dtype = torch.promote_types(states.dtype, torch.float32)
        with torch.autocast(states.device.type, enabled=False):
            # Halved as in the authors' code, so that start + end weighs as much as one of them would.
            weight, bias = (
                0.5 * torch.cat([part[0::2], part[1::2]]).to(dtype)
                for part in (self.dense_2.weight, self.dense_2.bias)
            )
            states = states.to(dtype).transpose(1, 2)
            start, end = torch.baddbmm(bias[:, None], weight.expand(states.shape[0], -1, -1), states).chunk(2, dim=1)
        return start, end
