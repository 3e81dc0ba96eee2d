"""The gradient of one optimizer step on ten samples, cut up into micro-batches.

    gradients.py OUTPUT SIZE:STEPS [SIZE:STEPS ...]

For each micro-batch size and number of accumulation steps, and for both heads, writes OUTPUT/KIND-SIZE-STEPS.pt.
"""

import sys
from pathlib import Path

import torch
from transformers import PreTrainedModel, Trainer, TrainerCallback, TrainingArguments

from conftest import make_char_tokenizer, make_model
from hf_globalpointer import DataCollatorForGlobalPointer, GlobalPointerTrainer


# Neither lengths nor entities are the same anywhere; some samples have none.
SAMPLES = 10
LABELS = [[], [[0, 1, 2]], [[1, 1, 1], [2, 0, 3], [0, 2, 3]], [], [[2, 1, 3]]]


def make_features() -> list[dict[str, list[object]]]:
    return [
        {"input_ids": [5 + (7 * i + j) % 25 for j in range(4 + 2 * i)], "labels": LABELS[i % len(LABELS)]}
        for i in range(SAMPLES)
    ]


class KeepGradient(TrainerCallback):
    """Holds the gradient of the last step."""

    def on_pre_optimizer_step(self, *args: object, model: PreTrainedModel, **kwargs: object) -> None:
        self.gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None]).clone()


def gradient(kind: str, size: int, steps: int, output: Path, trainer_class: type[Trainer] = GlobalPointerTrainer):
    """The gradient, and the loss that the Trainer logs."""
    keep = KeepGradient()
    trainer = trainer_class(
        model=make_model(kind, head_dropout=0.0, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0),
        args=TrainingArguments(
            str(output / "trainer"), max_steps=1, per_device_train_batch_size=size, gradient_accumulation_steps=steps,
            train_sampling_strategy="sequential", accelerator_config={"even_batches": False}, max_grad_norm=0.0,
            logging_steps=1, save_strategy="no", report_to="none", disable_tqdm=True, use_cpu=True,
            ddp_find_unused_parameters=True,
        ),
        data_collator=DataCollatorForGlobalPointer(make_char_tokenizer()),
        train_dataset=make_features(),
        callbacks=[keep],
    )  # fmt: skip
    trainer.train()
    return keep.gradient, trainer.state.log_history[0]["loss"]


def main() -> None:
    output = Path(sys.argv[1])
    for cut in sys.argv[2:]:
        size, steps = map(int, cut.split(":"))
        for kind in ("efficient", "full"):
            torch.save(gradient(kind, size, steps, output), output / f"{kind}-{size}-{steps}.pt")


if __name__ == "__main__":
    main()
