from contextlib import closing

import pytest

from conftest import LABELS, MakeTrainer
from hf_globalpointer.training.epoch_lines import EpochLines


def test_an_f1_of_0_is_explained_once(make_trainer: MakeTrainer, capsys: pytest.CaptureFixture[str]) -> None:
    with closing(EpochLines([LABELS[0]])) as lines:
        # Without learning, and over no threshold that a new model reaches.
        trainer = make_trainer(
            callbacks=[lines], max_steps=-1, num_train_epochs=2, eval_strategy="epoch", disable_tqdm=True,
            learning_rate=0.0,
        )  # fmt: skip
        trainer.model.config.score_threshold = 1e4
        trainer.train()
    said = "F1 is 0 as long as nothing correct scores over its threshold."
    assert capsys.readouterr().out.count(said) == 1


def test_each_evaluation_is_a_line_of_scores(make_trainer: MakeTrainer, capsys: pytest.CaptureFixture[str]) -> None:
    labels = [LABELS[0], "person", "place"]
    with closing(EpochLines(labels)) as lines:
        trainer = make_trainer(
            callbacks=[lines], max_steps=-1, num_train_epochs=2, eval_strategy="epoch", logging_strategy="epoch",
            disable_tqdm=True,
        )  # fmt: skip
        trainer.train()
    shown = [line.split() for line in capsys.readouterr().out.splitlines()]
    (index,) = [index for index, line in enumerate(shown) if line[:1] == ["epoch"]]
    assert shown[index][-3:] == labels
    evaluations = [entry for entry in trainer.state.log_history if "eval_f1" in entry]
    for number, entry in enumerate(evaluations, start=1):
        (line,) = [line for line in shown if line[:1] == [f"{number}/2"]]
        names = ("precision", "recall", "f1", *(f"f1_{label}" for label in labels))
        assert line[3:] == [f"{entry[f'eval_{name}']:.4f}" for name in names]
