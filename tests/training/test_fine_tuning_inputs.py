import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from hf_globalpointer import DataError, Entity, Example
from hf_globalpointer.training.fine_tuning_inputs import load_encoder, read_splits


ADA = Example("Ada met Bob", (Entity(0, 3, "person"),))
BOB = Example("Bob met Ada", (Entity(0, 3, "person"),))


def test_splits_are_lists_or_files(tmp_path: Path) -> None:
    path = tmp_path / "dev.jsonl"
    path.write_text('{"text": "Bob met Ada", "entities": [[0, 3, "person"]]}\n')
    read = replace(BOB, source=f"{path}:1")
    assert read_splits([ADA], path, None) == {"train": [ADA], "dev": [read]}
    assert list(read_splits([ADA], str(path), [ADA, Example("")])) == ["train", "dev", "test"]


@pytest.mark.parametrize(
    ("splits", "message"),
    [
        (([Example("ab")], [BOB], None), "train: no example holds an entity; there is nothing to learn"),
        (([ADA], [Example("ab")], None), "dev: no example holds an entity; there is nothing to choose"),
        (([ADA], [Example("ab", (Entity(0, 2, "x"),), id=7), BOB], None), "7: label 'x' is none of the training data"),
        (([ADA], [BOB], [Example("ab", (Entity(0, 2, "x"),))]), "'ab': label 'x' is none of the training data"),
    ],
)
def test_examples_that_cannot_be_used(
    splits: tuple[list[Example], list[Example], list[Example] | None], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        read_splits(*splits)


def test_it_is_said_where_dev_is_train(caplog: pytest.LogCaptureFixture) -> None:
    read_splits([ADA], [BOB], None)
    assert not caplog.text
    read_splits([ADA], [ADA], None)
    assert "dev has the examples of train" in caplog.text


def test_weights_that_an_encoder_lacks_are_named(
    toy_encoder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    options = {"head": "efficient", "config_overrides": {"head_size": 8}, "word_aligned": True}
    network, _ = load_encoder(str(toy_encoder), [ADA], options)
    assert (network.config.label2id, network.config.head_size, network.config.word_aligned) == ({"person": 0}, 8, True)
    assert "MISSING" not in caplog.text
    shutil.copytree(toy_encoder, tmp_path / "encoder")
    weights = load_file(tmp_path / "encoder" / "model.safetensors")
    name = next(name for name in weights if name.endswith("layer.0.output.dense.bias"))
    del weights[name]
    save_file(weights, tmp_path / "encoder" / "model.safetensors", metadata={"format": "pt"})
    load_encoder(str(tmp_path / "encoder"), [ADA], options)
    assert (
        f"lacks weights of the encoder, which are newly initialized: bert.{name.removeprefix('bert.')}." in caplog.text
    )
