import pytest
import torch

from conftest import MakeTrainer
from hf_globalpointer import FiniteLossCallback


def test_an_overflow_in_float16_is_no_divergence(make_trainer: MakeTrainer) -> None:
    trainer = make_trainer()
    callback, logs = FiniteLossCallback(), {"loss": 1.0, "grad_norm": float("inf")}
    trainer.args.fp16 = True  # which needs a GPU to be asked for
    callback.on_log(trainer.args, trainer.state, trainer.control, logs)
    for fp16, name in ((False, "grad_norm"), (True, "loss")):
        trainer.args.fp16 = fp16
        with pytest.raises(FloatingPointError, match=f"{name} is inf"):
            callback.on_log(trainer.args, trainer.state, trainer.control, {**logs, name: float("inf")})


@pytest.mark.parametrize("filtered", [True, False])
def test_a_training_that_diverged_ends(make_trainer: MakeTrainer, filtered: bool) -> None:
    arguments = {"logging_steps": 1, "logging_nan_inf_filter": filtered}
    trainer = make_trainer(callbacks=[FiniteLossCallback()], **arguments)
    trainer.train()
    trainer.model.classifier.dense_1.weight.data.fill_(torch.nan)
    with pytest.raises(FloatingPointError, match=r"at step \d+: the training has diverged"):
        trainer.train()
