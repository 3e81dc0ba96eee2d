from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import torch
from datasets import Dataset
from optuna import Trial
from optuna.samplers import GridSampler
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from transformers import PreTrainedTokenizerFast, Trainer, TrainingArguments

from conftest import LABELS, make_model
from hf_globalpointer import (
    ComputeSpanMetrics,
    DataCollatorForGlobalPointer,
    Example,
    GlobalPointerTrainer,
    encode_examples,
    read_examples,
)


Features = list[dict[str, object]]


@pytest.fixture
def features(char_tokenizer: PreTrainedTokenizerFast) -> Features:
    """Texts of the sample data by their first letters, so that batches differ in length, without entities or with."""
    texts = [example.text for example in read_examples(str(files("hf_globalpointer.data") / "samples" / "dev.jsonl"))]
    examples = [Example(text[: 3 + index]) for index, text in enumerate(texts[:20])]
    made, _ = encode_examples(examples, char_tokenizer, {})
    for feature in made[::2]:
        feature["labels"] = [[0, 1, 2], [1, 2, 2]]
    return made


def make_trainer(tokenizer: PreTrainedTokenizerFast, output: Path, **arguments: object) -> Trainer:
    defaults = {"per_device_train_batch_size": 4, "per_device_eval_batch_size": 3, "report_to": "none", "max_steps": 1}
    return Trainer(
        model=make_model("efficient", head_dropout=0.0, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0),
        args=TrainingArguments(str(output), dataloader_pin_memory=False, **{**defaults, **arguments}),
        data_collator=DataCollatorForGlobalPointer(tokenizer),
        compute_metrics=ComputeSpanMetrics(dict(enumerate(LABELS))),
    )


def test_evaluation_gathers_spans_of_batches_of_any_length(
    features: Features, char_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    trainer = make_trainer(char_tokenizer, tmp_path)
    output = trainer.predict(features)
    assert output.predictions.ndim == 3
    assert output.predictions.shape[::2] == (20, 3)
    one_by_one = [trainer.predict([feature]) for feature in features]
    gold = sum(len(feature["labels"]) for feature in features)
    correct = sum(round(single.metrics["test_recall"] * 2) for single in one_by_one)
    assert output.metrics["test_recall"] == pytest.approx(correct / gold)


@pytest.mark.parametrize("format", [None, "torch", "numpy"])
def test_a_dataset_does_as_well_as_a_list(
    features: Features, char_tokenizer: PreTrainedTokenizerFast, tmp_path: Path, format: str | None
) -> None:
    trainer = make_trainer(char_tokenizer, tmp_path)
    dataset = Dataset.from_list([{**feature, "text": "unused"} for feature in features]).with_format(format)
    expected = trainer.evaluate(features)
    assert trainer.evaluate(dataset)["eval_loss"] == pytest.approx(expected["eval_loss"])


def test_hidden_states_stay_out_of_evaluation(
    features: Features, char_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    trainer = make_trainer(char_tokenizer, tmp_path)
    expected = trainer.predict(features).predictions
    assert (expected >= 0).any()
    trainer.model.config.output_hidden_states = True
    np.testing.assert_array_equal(trainer.predict(features).predictions, expected)


def test_accumulation_gives_the_gradient_of_one_big_batch(
    features: Features, char_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    norms, losses = set(), set()
    for size, steps in ((8, 1), (4, 2), (1, 8)):
        trainer = make_trainer(
            char_tokenizer, tmp_path, per_device_train_batch_size=size, gradient_accumulation_steps=steps,
            logging_steps=1, train_sampling_strategy="sequential",
        )  # fmt: skip
        trainer.train_dataset = features[:8]
        trainer.train()
        entry = next(entry for entry in trainer.state.log_history if "loss" in entry)
        norms.add(round(float(entry["grad_norm"]), 3))
        losses.add(round(float(entry["loss"]), 4))
    assert len(norms) == len(losses) == 1


def test_the_draft_of_a_card_takes_its_arguments_by_place(
    features: Features, char_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    arguments = TrainingArguments(str(tmp_path), report_to="none")
    GlobalPointerTrainer(make_model("full"), arguments).create_model_card("en", "mit")
    card = (tmp_path / "README.md").read_text()
    assert "license: mit" in card
    assert "- en" in card


def learned(
    features: Features, tokenizer: PreTrainedTokenizerFast, output: Path, **arguments: object
) -> tuple[list[float], dict[str, float]]:
    """The losses of ten steps on the same batch, and the scores on it then."""
    trainer = make_trainer(
        tokenizer, output, max_steps=10, logging_steps=1, learning_rate=0.02, per_device_train_batch_size=20,
        lr_scheduler_type="constant", **arguments,
    )  # fmt: skip
    trainer.train_dataset = features
    trainer.train()
    return [entry["loss"] for entry in trainer.state.log_history if "loss" in entry], trainer.evaluate(features)


@pytest.mark.parametrize(
    ("arguments", "tolerance"),
    [
        ({"activation_checkpointing": True}, 1e-5),
        ({"torch_compile": True, "torch_compile_backend": "aot_eager"}, 1e-3),
        ({"bf16": True, "use_cpu": True}, 0.05),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_ways_to_train_learn_the_same(
    arguments: dict[str, object], tolerance: float, features: Features, char_tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
) -> None:  # fmt: skip
    losses, scores = learned(features, char_tokenizer, tmp_path / "plain")
    others, other_scores = learned(features, char_tokenizer, tmp_path / "other", **arguments)
    assert losses[-1] < 0.5 * losses[0]
    assert others == pytest.approx(losses, rel=tolerance)
    assert other_scores["eval_loss"] == pytest.approx(scores["eval_loss"], rel=tolerance)


def test_tensorboard_gets_every_score(
    features: Features, char_tokenizer: PreTrainedTokenizerFast, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENSORBOARD_LOGGING_DIR", str(tmp_path / "logs"))
    losses, scores = learned(features, char_tokenizer, tmp_path, report_to="tensorboard")
    (folder,) = {path.parent for path in (tmp_path / "logs").rglob("events*")}
    log = EventAccumulator(str(folder)).Reload()
    assert [event.value for event in log.Scalars("train/loss")] == pytest.approx(losses)
    for name in ("f1", "macro_f1", "recall_person"):
        assert log.Scalars(f"eval/{name}")[-1].value == pytest.approx(scores[f"eval_{name}"])


def test_optuna_searches_the_rates(
    features: Features, char_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    def model_init() -> torch.nn.Module:
        torch.manual_seed(0)
        return make_model("efficient")

    rates = [1e-9, 0.02]

    def space(trial: Trial) -> dict[str, object]:
        return {"learning_rate": trial.suggest_categorical("learning_rate", rates)}

    trainer = Trainer(
        model_init=model_init,
        args=TrainingArguments(
            str(tmp_path), max_steps=60, eval_strategy="epoch", save_strategy="no", report_to="none", seed=1
        ),
        data_collator=DataCollatorForGlobalPointer(char_tokenizer),
        train_dataset=features,
        eval_dataset=features,
        compute_metrics=ComputeSpanMetrics(dict(enumerate(LABELS))),
    )
    best = trainer.hyperparameter_search(
        space,
        lambda scores: scores["eval_f1"],
        n_trials=2,
        direction="maximize",
        backend="optuna",
        sampler=GridSampler({"learning_rate": rates}),
    )
    assert best.hyperparameters == {"learning_rate": 0.02}
    assert best.objective > 0.5
