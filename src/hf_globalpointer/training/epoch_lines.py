"""What `train` shows of a training: a bar, and a line of scores after each epoch."""

from time import monotonic
from typing import Any

from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import ProgressCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.utils import is_in_notebook


# As many labels as fit in a line, and as many characters of each.
_LABELS, _WIDTH = 8, 8
# After so many steps, it is clear how long one takes.
_STEPS = 10


class EpochLines(ProgressCallback):
    """The Trainer's own bars, with a table of the epochs in place of raw dictionaries.

    Args:
        labels (`list[str]`): The entity types; the F1 of the first eight is shown.
    """

    def __init__(self, labels: list[str]) -> None:
        super().__init__()
        self.prediction_bar: tqdm | None = None
        self._labels = labels[:_LABELS]
        self._loss: float | None = None
        self._best = 0.0
        self._told = False
        self._begun, self._first_step = 0.0, 0

    def close(self) -> None:
        """End the bars, also those of a training that broke off."""
        for bar in (self.prediction_bar, self.training_bar):
            if bar is not None:
                bar.close()

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin the bar, and the table."""
        self.current_step = 0
        self._begun = monotonic()
        self._first_step = state.global_step
        if state.is_world_process_zero:
            self.training_bar = _bar(state.max_steps, leave=True)
        names = ["time", "loss", "dev P", "dev R", "dev F1", *self._labels]
        self._write(state, f"{'epoch':>9}", names)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Move the bar; where there is none, tell once how long all will take."""
        super().on_step_end(args, state, control, **kwargs)
        steps = state.global_step - self._first_step
        if steps == _STEPS and self.training_bar is not None and self.training_bar.disable:
            took = monotonic() - self._begun
            rest = took / steps * (state.max_steps - state.global_step)
            self._say(state, f"{steps} steps took {_duration(took)}; the others may take {_duration(rest)}.")

    def on_prediction_step(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        eval_dataloader: DataLoader[Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Show how far the evaluation is."""
        if state.is_world_process_zero and eval_dataloader is not None:
            if self.prediction_bar is None:
                self.prediction_bar = _bar(len(eval_dataloader), leave=False)
            self.prediction_bar.update()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Keep the loss for the line of the epoch."""
        self._loss = (logs or {}).get("loss", self._loss)

    def on_evaluate(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        metrics: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """End the evaluation's bar, and write the line of the epoch."""
        super().on_evaluate(args, state, control, **kwargs)
        names = ("precision", "recall", "f1", *(f"f1_{label}" for label in self._labels))
        scores = [f"{(metrics or {})[f'eval_{name}']:.4f}" for name in names]
        loss = "" if self._loss is None else f"{self._loss:.4g}"
        self._write(
            state,
            f"{round(state.epoch or 0):>4}/{round(state.num_train_epochs):<4}",
            [_duration(monotonic() - self._begun), loss, *scores],
        )
        self._best = max(self._best, (metrics or {})["eval_f1"])
        if not self._told and self._best == 0:
            self._told = True
            self._say(state, "F1 is 0 as long as nothing correct scores over its threshold.")

    def _say(self, state: TrainerState, sentence: str) -> None:
        self._write(state, f"{'':9}  {sentence}", [])

    def _write(self, state: TrainerState, first: str, cells: list[str]) -> None:
        if state.is_world_process_zero and self.training_bar is not None:
            self.training_bar.write("  ".join([first, *(f"{cell[:_WIDTH]:>{_WIDTH}}" for cell in cells)]))


def _duration(seconds: float) -> str:
    """Hours, however many, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


def _bar(total: int, leave: bool) -> tqdm:
    """A bar; none where standard error is a file, in which it would be thousands of lines."""
    return tqdm(total=total, leave=leave, dynamic_ncols=True, disable=False if is_in_notebook() else None)
