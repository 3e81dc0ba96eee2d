"""Callbacks of a training."""

import math
from pathlib import Path
from typing import Any

from accelerate.optimizer import AcceleratedOptimizer  # type: ignore[import-untyped]
from torch.optim import Optimizer
from torch.utils.data import DataLoader
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import PREFIX_CHECKPOINT_DIR

from ..reports.model_card import GlobalPointerModelCard


class EpochCallback(TrainerCallback):
    """Tells the training data which epoch begins, as [`ExampleDataset`] must know; with any sampler."""

    def on_epoch_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        train_dataloader: DataLoader[Any],
        **kwargs: Any,
    ) -> None:
        """Call `set_epoch` of the data set."""
        train_dataloader.dataset.set_epoch(int(state.epoch or 0))  # type: ignore[attr-defined]


class FiniteLossCallback(TrainerCallback):
    """Ends a training that has diverged, at the next log, and not after hours of computing with NaN."""

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float],
        **kwargs: Any,
    ) -> None:
        """Look at the loss and, as the Trainer leaves a loss that is no number out of its mean, at the gradient.

        In float16 a gradient may overflow now and then: such a step is left out, and the scale of the loss lowered.

        Raises:
            FloatingPointError: If one is NaN or infinite.
        """
        for name in ("loss",) if args.fp16 else ("loss", "grad_norm"):
            if not math.isfinite(logs.get(name, 0.0)):
                raise FloatingPointError(
                    f"{name} is {logs[name]} at step {state.global_step}: the training has diverged. Lower the "
                    "learning rates, or use bfloat16 or float32 in place of float16."
                )


class ModelCardCallback(TrainerCallback):
    """Writes the model card into each checkpoint of the Trainer, and at the end of training into its output folder.

    The card tells the hyper-parameters, and the scores if the Trainer has evaluated the very weights that are saved:
    those of the last step or, at the end, of the best one where the Trainer goes back to it. All this is read from the
    Trainer's state, so that training may be resumed. A hyper-parameter search writes no cards.

    [`GlobalPointerTrainer`] pushes this card. The stock Trainer, where `push_to_hub` is set, first writes a draft of
    its own over the README.md of the output folder, and no callback can stop it: upload that folder by `hf upload`.

    What a Trainer pushes while it trains is pushed before the callback is called, so without this card. And a card
    is of a whole model: the checkpoints of PEFT adapters are none, and PEFT writes cards of its own for them.

    Args:
        card (`GlobalPointerModelCard`): The card; its scores, hyper-parameters and epoch are set at each save.
        split (`str`, *optional*, defaults to `"dev"`): What the card calls the Trainer's `eval_dataset`.

    Example:
        ```python
        card = GlobalPointerModelCard.from_model(
            model, "my-ner", "conll04", language="en", data={"train": (examples, report)}
        )
        callbacks = [ModelCardCallback(card)]
        trainer = GlobalPointerTrainer(model, args, train_dataset=train_dataset, callbacks=callbacks)
        ```
    """

    def __init__(self, card: GlobalPointerModelCard, split: str = "dev") -> None:
        self.card = card
        self.split = split

    def on_save(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        optimizer: Optimizer,
        **kwargs: Any,
    ) -> None:
        """Write the card into the checkpoint that was just saved."""
        folder = Path(args.output_dir) / f"{PREFIX_CHECKPOINT_DIR}-{state.global_step}"
        self._write(folder, state.global_step, args, state, optimizer)

    def on_train_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        optimizer: Optimizer,
        **kwargs: Any,
    ) -> None:
        """Write the card of the weights that training ends with into the output folder."""
        is_best = args.load_best_model_at_end and state.best_model_checkpoint is not None
        step = state.best_global_step if is_best else state.global_step
        self._write(Path(args.output_dir), step, args, state, optimizer)

    def _write(
        self, folder: Path, step: int, args: TrainingArguments, state: TrainerState, optimizer: Optimizer
    ) -> None:
        if not args.should_save or state.is_hyper_param_search:
            return
        evaluations = [entry for entry in state.log_history if entry["step"] == step and "eval_f1" in entry]
        self.card.scores = {}
        self.card.epoch = state.epoch
        if evaluations:
            self.card.scores[self.split] = {key.removeprefix("eval_"): x for key, x in evaluations[-1].items()}
            self.card.epoch = evaluations[-1]["epoch"]
        self.card.hyperparameters = _hyperparameters(args, optimizer)
        self.card.save(folder)


def _hyperparameters(args: TrainingArguments, optimizer: Optimizer) -> dict[str, Any]:
    """How the Trainer trains, by the names of its arguments.

    What an optimizer of the user's own may do otherwise than the arguments say is asked of the optimizer.
    """
    inner = optimizer.optimizer if isinstance(optimizer, AcceleratedOptimizer) else optimizer
    groups = optimizer.param_groups
    return {
        "optimizer": type(inner).__name__,
        # The scheduler keeps the peak rate under this name.
        "learning_rate": list(dict.fromkeys(group.get("initial_lr", group["lr"]) for group in groups)),
        "weight_decay": list(dict.fromkeys(group.get("weight_decay", 0.0) for group in groups)),
        "lr_scheduler_type": args.lr_scheduler_type.value,
        "warmup_steps": args.warmup_steps,
        "max_grad_norm": args.max_grad_norm,
        "per_device_train_batch_size": args.per_device_train_batch_size,
        "gradient_accumulation_steps": args.gradient_accumulation_steps,
        "world_size": args.world_size,
        **({"max_steps": args.max_steps} if args.max_steps > 0 else {"num_train_epochs": args.num_train_epochs}),
        "mixed_precision": "bf16" if args.bf16 else "fp16" if args.fp16 else None,
        "seed": args.seed,
    }
