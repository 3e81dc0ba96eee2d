"""Optimiser settings for fine-tuning: a fresh head learns faster than a pretrained encoder should."""

from typing import Any

from transformers import PreTrainedModel


def parameter_groups(
    model: PreTrainedModel, encoder_lr: float, head_lr: float, weight_decay: float = 0.01
) -> list[dict[str, Any]]:
    """Parameter groups for a torch optimiser: encoder and head with rates of their own, no decay on biases and norms.

    Args:
        model (`PreTrainedModel`): A GlobalPointer model.
        encoder_lr (`float`): Learning rate of the encoder.
        head_lr (`float`): Learning rate of the head, `model.classifier`.
        weight_decay (`float`, *optional*, defaults to 0.01): Decay of the weight matrices.

    Returns:
        `list[dict]`: Groups without empty ones; every trainable parameter is in exactly one.
    """
    groups: dict[tuple[float, float], list[Any]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            lr = head_lr if name.startswith("classifier.") else encoder_lr
            # Biases and the weights of normalisation layers are vectors.
            decay = weight_decay if parameter.dim() > 1 else 0.0
            groups.setdefault((lr, decay), []).append(parameter)
    return [{"params": params, "lr": lr, "weight_decay": decay} for (lr, decay), params in groups.items()]
