"""A Trainer whose gradient does not depend on how a batch is cut up."""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from transformers import Trainer

from .callbacks import ModelCardCallback


class GlobalPointerTrainer(Trainer):
    """The stock `Trainer`, but every sample of an optimizer step counts the same, whichever micro-batch it is in.

    The stock Trainer takes the mean of the means of the micro-batches, over accumulation steps and processes. That is
    the mean over all samples only if micro-batches are of one size, and the last one of an epoch often is not. Here
    each is weighted with its number of samples, so that one big batch, accumulation, many processes and all of them
    together give the same gradient.

    `label_smoothing_factor`, which is for class probabilities, is refused.

    And what it pushes to the Hub has the card of its [`ModelCardCallback`], if it has one, where the stock Trainer
    writes a draft of its own over it.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.args.label_smoothing_factor:
            raise ValueError(
                "`label_smoothing_factor` is for class probabilities, and a span has none: the loss compares scores. "
                "Leave it at 0."
            )

    def get_batch_samples(
        self, epoch_iterator: Iterator[dict[str, Tensor]], num_batches: int, device: torch.device
    ) -> tuple[list[dict[str, Tensor]], Tensor]:
        """The micro-batches of one step on this process, and the number of samples in those of all processes."""
        batches, _ = super().get_batch_samples(epoch_iterator, num_batches, device)
        samples = torch.tensor(sum(len(batch["labels"]) for batch in batches), device=device)
        return batches, self.accelerator.gather(samples).sum()

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """The mean over the samples of a micro-batch, scaled in training by their share of the whole batch."""
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True)
        if num_items_in_batch is not None:
            # What follows divides by the number of micro-batches, here and across processes.
            micro_batches = self.current_gradient_accumulation_steps * self.accelerator.num_processes
            loss = loss * (len(inputs["labels"]) * micro_batches / num_items_in_batch)
        return (loss, outputs) if return_outputs else loss

    def create_model_card(self, *args: Any, **kwargs: Any) -> None:
        """Leave the card of a [`ModelCardCallback`] as it is; without one, write the draft of the stock Trainer."""
        if not any(isinstance(callback, ModelCardCallback) for callback in self.callback_handler.callbacks):
            super().create_model_card(*args, **kwargs)
