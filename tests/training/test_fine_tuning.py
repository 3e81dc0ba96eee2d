import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.errors import StrictDataclassClassValidationError
from safetensors.torch import load_file
from transformers import AutoModelForTokenClassification

from conftest import Run, letters, train_command
from hf_globalpointer import DataError, Entity, Example, fine_tune, read_examples, score_predictions
from hf_globalpointer.training.fine_tuning import undertraining_hint


FAST: dict[str, Any] = {"epochs": 4, "encoder_lr": 5e-3, "head_lr": 1e-2, "batch_size": 8}


def examples(seed: int, count: int) -> list[Example]:
    """The examples of `letters`, made without a file."""
    return [
        Example(record["text"], tuple(Entity(**entity) for entity in record["entities"]), id=record["id"])
        for record in letters(seed, count)
    ]


def same_weights(one: Path, other: Path) -> bool:
    first, second = (load_file(folder / "model.safetensors") for folder in (one, other))
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def test_lists_paths_and_the_command_line_give_the_same_model(
    toy_data: Path, toy_encoder: Path, tmp_path: Path, run: Run, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "hf_globalpointer")
    lists, paths, command = (tmp_path / name for name in ("lists", "paths", "command"))
    result = fine_tune(toy_encoder, examples(0, 150), examples(1, 40), lists, examples(2, 40), **FAST)
    assert "train examples: 150; 489 of 489 entities aligned with the tokens." in caplog.text
    assert list(result.metrics) == ["dev", "test"]
    for name, split in (("dev", examples(1, 40)), ("test", examples(2, 40))):
        # The pipeline finds what its metrics say, and so does the checkpoint.
        predictions = result.pipeline([example.text for example in split])
        assert result.metrics[name] == score_predictions(split, predictions, result.pipeline.model.config.label2id)
        assert result.metrics[name].micro.f1 > 0.8
        assert json.loads((lists / "metrics.json").read_text())[name] == result.metrics[name].to_dict()
    loaded = AutoModelForTokenClassification.from_pretrained(lists)
    state = result.pipeline.model.state_dict()
    assert all(torch.equal(tensor, state[name].cpu()) for name, tensor in loaded.state_dict().items())

    fine_tune(str(toy_encoder), str(toy_data / "train.jsonl"), toy_data / "dev.jsonl", paths, **FAST)
    assert same_weights(lists, paths)
    assert run(*train_command(toy_data, toy_encoder, command, "--epochs", FAST["epochs"]))[0] == 0
    assert same_weights(lists, command)
    written = [json.loads((folder / "metrics.json").read_text()) for folder in (paths, command)]
    assert written[0]["settings"] == written[1]["settings"]
    assert (paths / "README.md").read_text() == (command / "README.md").read_text().replace("command", "paths")


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"head": "large"}, ValueError, "`head` must be one of efficient, full, got large"),
        ({"max_length": 41}, ValueError, "`max_length` must be at most 40"),
        (
            {"config_overrides": {"hed_size": 8}},
            ValueError,
            "`config_overrides` has hed_size, which .* are .*head_size, ",
        ),
        (
            {"config_overrides": {"head_size": 7}},
            StrictDataclassClassValidationError,
            "`head_size` must be positive, and even",
        ),
        (
            {"config_overrides": {"max_span_length": 0}},
            StrictDataclassClassValidationError,
            "`max_span_length` must be at least 1, got 0",
        ),
        ({"license": "no license"}, ValueError, "license"),
        ({"train": [Example("ab")]}, DataError, "train: no example holds an entity; there is nothing to learn"),
        ({"train": "nowhere.jsonl"}, DataError, r"nowhere\.jsonl: no such file"),
        ({"encoder": "/no/such/encoder"}, OSError, "cannot load the encoder /no/such/encoder: no such folder"),
        ({"output": __file__}, NotADirectoryError, "is a file; name a folder for the output"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_what_cannot_be_used_is_said_before_training(
    options: dict[str, Any], error: type[Exception], message: str, toy_encoder: Path, tmp_path: Path
) -> None:
    arguments = {
        "encoder": toy_encoder,
        "train": examples(0, 5),
        "dev": examples(1, 5),
        "output": tmp_path / "out",
        **options,
    }
    with pytest.raises(error, match=message):
        fine_tune(**arguments)
    assert not (tmp_path / "out").exists() or not any((tmp_path / "out").iterdir())


def test_fields_of_the_configuration_win_over_what_the_data_say(toy_encoder: Path, tmp_path: Path) -> None:
    fields = {"head_size": 8, "use_rope": False, "max_span_length": None, "score_threshold": -1.0}
    options: dict[str, Any] = {"epochs": 1, "joined": 0, "config_overrides": fields}
    result = fine_tune(toy_encoder, examples(0, 8), examples(1, 8), tmp_path / "out", max_length=30, **options)
    config = result.pipeline.model.config
    assert {name: getattr(config, name) for name in fields} == fields
    # What is not given is as the data say, or the other arguments.
    assert (config.overlap, config.max_length) == ("nested", 30)
    saved = json.loads((tmp_path / "out" / "config.json").read_text())
    assert {name: saved[name] for name in fields} == fields
    assert json.loads((tmp_path / "out" / "metrics.json").read_text())["settings"]["config_overrides"] == fields


def test_examples_are_those_of_the_files(toy_data: Path) -> None:
    assert [example.entities for example in examples(1, 40)] == [
        example.entities for example in read_examples(toy_data / "dev.jsonl")
    ]


@pytest.mark.parametrize(
    ("scores", "told"),
    [
        ([0.1, 0.5, 0.6], True),
        ([0.0, 0.0], True),
        ([0.1, 0.0, 0.0], False),
        ([0.1, 0.6, 0.5], False),
        ([0.1, 0.6, 0.6001], False),
        ([0.6], False),
        ([], False),
    ],
)
def test_only_what_still_rises_is_called_undertrained(scores: list[float], told: bool) -> None:
    history = [{"eval_f1": score, "epoch": index} for index, score in enumerate(scores)]
    assert (undertraining_hint([*history, {"loss": 0.1}], len(scores)) is not None) == told
    assert undertraining_hint(history, len(scores) + 1) is None  # stopped early


def test_a_tracker_that_cannot_be_used_is_said_before_anything_is_made(
    toy_data: Path, toy_encoder: Path, tmp_path: Path, run: Run
) -> None:
    code, _, err = run(*train_command(toy_data, toy_encoder, tmp_path / "out", "--report-to", "nowhere"))
    assert code == 1
    assert "`report_to` cannot be 'nowhere': nowhere is not supported" in err
    assert not (tmp_path / "out").exists()
