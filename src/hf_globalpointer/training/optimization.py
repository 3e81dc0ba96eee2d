"""Optimizer settings for fine-tuning: a fresh head learns faster than a pretrained encoder should."""

from typing import Any

import torch
from transformers import PreTrainedModel


def parameter_groups(
    model: PreTrainedModel, encoder_lr: float, head_lr: float, weight_decay: float = 0.01
) -> list[dict[str, Any]]:
    """Parameter groups for a torch optimizer: encoder and head with rates of their own, no decay on biases and norms.

    Args:
        model (`PreTrainedModel`): A GlobalPointer model, or one of PEFT around it.
        encoder_lr (`float`): Learning rate of the encoder.
        head_lr (`float`): Learning rate of the head, `classifier`.
        weight_decay (`float`, *optional*, defaults to 0.01): Decay of the weight matrices.

    Returns:
        `list[dict]`: Groups without empty ones; every trainable parameter is in exactly one.

    Raises:
        ValueError: If the model has no head.
    """
    in_head = {name: "classifier" in name.split(".") for name, _ in model.named_parameters()}
    if not any(in_head.values()):
        raise ValueError(f"{type(model).__name__} has no parameter of a `classifier`; give a GlobalPointer model.")
    groups: dict[tuple[float, float], list[Any]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            lr = head_lr if in_head[name] else encoder_lr
            # Biases and the weights of normalization layers are vectors.
            decay = weight_decay if parameter.dim() > 1 else 0.0
            groups.setdefault((lr, decay), []).append(parameter)
    return [{"params": params, "lr": lr, "weight_decay": decay} for (lr, decay), params in groups.items()]


def freeze_unused(model: PreTrainedModel) -> list[str]:
    """Freeze the parameters that the loss does not depend on, such as those of Longformer's global attention.

    Nothing is lost by it, as they never get a gradient; and training on many processes need not wait for one.

    Args:
        model (`PreTrainedModel`): A GlobalPointer model, whose parameters have no gradient yet.

    Returns:
        `list[str]`: Their names.
    """
    training = model.training
    # In evaluation mode there is no dropout, which would draw from the random state of the run.
    text = torch.zeros((1, 4), dtype=torch.long, device=model.device)
    model.eval()(input_ids=text, labels=torch.tensor([[[0, 1, 2]]], device=model.device)).loss.backward()
    unused = {name: p for name, p in model.named_parameters() if p.requires_grad and p.grad is None}
    for parameter in unused.values():
        parameter.requires_grad_(False)
    model.zero_grad()
    model.train(training)
    return list(unused)
