"""The epoch that is best on development data, for systems whose Trainer does not choose it by strict F1 offline."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from job import Recognize, strict_f1
from transformers import TrainerCallback


class BestEpoch(TrainerCallback):
    """Scores each epoch, and keeps the weights of the best one.

    Args:
        model (`torch.nn.Module`): The model.
        recognize (`Callable`): Recognizes entities with it.
        dev (`Sequence[dict]`): The development examples.
        folder (`Path`): Where weights and scores are kept.
    """

    def __init__(
        self, model: torch.nn.Module, recognize: Recognize, dev: Sequence[dict[str, Any]], folder: Path
    ) -> None:
        self._model, self._recognize, self._dev = model, recognize, dev
        self._weights, self._scores = folder / "best.pt", folder / "scores.json"

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Score the epoch; of a run that goes on, it may be one that was scored already."""
        scores = json.loads(self._scores.read_text()) if self._scores.exists() else {}
        score = strict_f1(self._dev, self._recognize([example["text"] for example in self._dev]))
        print(f"epoch {state.epoch:.0f}: dev F1 {score:.4f}", flush=True)
        if score > max(scores.values(), default=-1.0):
            torch.save(self._model.state_dict(), self._weights)
        self._scores.write_text(json.dumps(scores | {f"{state.epoch:.0f}": score}))
        self._model.train()

    def load(self) -> None:
        """Give the model the weights of the best epoch."""
        self._model.load_state_dict(torch.load(self._weights))
