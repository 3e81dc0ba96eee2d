"""Adversarial training by the fast gradient method."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from transformers import PreTrainedModel


@contextmanager
def fgm_perturbation(model: PreTrainedModel, epsilon: float = 1.0) -> Iterator[None]:
    """Move the word embeddings to where the loss rises fastest; they are back at the end.

    This is the fast gradient method (Miyato et al., 2017, https://arxiv.org/abs/1605.07725) on the table of all word
    embeddings: after the backward of a batch, a second one within adds the gradient at epsilon * g / |g|, g being the
    gradient so far. It takes twice the time of training; benchmarks/regularization.md tells what it gives.

    Args:
        model (`PreTrainedModel`): The model, whose word embeddings have a gradient.
        epsilon (`float`, *optional*, defaults to 1.0): How far they are moved, by the Euclidean norm of the table.

    Raises:
        ValueError: If the word embeddings have no gradient.

    Example:
        ```python
        model(**batch).loss.backward()
        with fgm_perturbation(model):
            model(**batch).loss.backward()
        ```
    """
    weight = model.get_input_embeddings().weight
    if weight.grad is None:
        raise ValueError("The word embeddings have no gradient: go backward first, and do not freeze them.")
    before = weight.detach().clone()
    with torch.no_grad():
        # Where there is no gradient, there is no way up.
        weight += epsilon * weight.grad / weight.grad.norm().clamp(min=torch.finfo(weight.dtype).tiny)
    try:
        yield
    finally:
        with torch.no_grad():
            weight.copy_(before)
