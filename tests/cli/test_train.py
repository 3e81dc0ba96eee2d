import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForTokenClassification,
    RobertaConfig,
    RobertaModel,
    Trainer,
    pipeline,
)

from conftest import TINY, Run, letters, make_char_tokenizer, train_command, write
from hf_globalpointer import read_examples


GOOD = '{"text": "ab xz", "entities": [{"start": 3, "end": 5, "label": "date"}]}\n'


def test_training_leaves_a_checkpoint_that_works_and_metrics(trained: Path) -> None:
    names = {path.name for path in trained.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "metrics.json"} <= names
    assert not {name for name in names if name == "checkpoints" or name.endswith(".partial")}
    metrics = json.loads((trained / "metrics.json").read_text())
    assert metrics["dev"]["f1"] > 0.9
    assert metrics["dev"]["f1"] == pytest.approx(max(entry["eval_f1"] for entry in metrics["history"]))
    assert metrics["unaligned_entities"] == {"train": 0, "dev": 0, "test": 1}
    recognize = pipeline("global-pointer-ner", model=str(trained))
    found = [(entity["word"], entity["entity_group"]) for entity in recognize("ab xz c qyq")]
    assert found == [("xz", "date"), ("qyq", "person"), ("y", "place")]
    assert AutoModelForTokenClassification.from_pretrained(trained).config.id2label[0] == "date"


def test_training_finds_the_rules_of_its_data(trained: Path) -> None:
    config = json.loads((trained / "config.json").read_text())
    assert (config["overlap"], config["max_span_length"], config["max_length"]) == ("nested", 16, 40)
    settings = json.loads((trained / "metrics.json").read_text())["settings"]
    assert (settings["overlap"], settings["joined"]) == ("nested", 1.0)


def test_options_go_before_the_rules_of_the_data(toy_data: Path, toy_encoder: Path, tmp_path: Path, run: Run) -> None:
    output = tmp_path / "out"
    options = ["--epochs", 1, "--overlap", "flat", "--max-length", 30, "--joined", 0]
    code, _, err = run(*train_command(toy_data, toy_encoder, output, *options))
    assert code == 0
    assert 'overlap "nested"' in err
    # Standard error is a file here, where bars would be many lines; that the head is new is nothing to report.
    assert "\r" not in err
    assert "MISSING" not in err
    assert "Epochs: 1, steps in each: 19; peak learning rates: 0.005 (encoder), 0.01 (head)." in " ".join(err.split())
    config = json.loads((output / "config.json").read_text())
    assert (config["overlap"], config["max_length"]) == ("flat", 30)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--max-length", 41, "`max_length` must be at most 40"),
        ("--max-length", 2, "Windows of 2 tokens leave none beside the special ones"),
        ("--joined", "inf", "`joined` must be a finite number"),
    ],
)
def test_options_that_cannot_be_are_told_before_training(
    toy_data: Path, toy_encoder: Path, tmp_path: Path, run: Run, option: str, value: object, message: str
) -> None:
    code, _, err = run(*train_command(toy_data, toy_encoder, tmp_path / "out", option, value))
    assert code == 1
    assert message in " ".join(err.split())
    assert "Traceback" not in err


def test_what_cannot_be_aligned_counts_as_missed(trained: Path, toy_data: Path) -> None:
    examples = list(read_examples(toy_data / "test.jsonl"))
    places = sum(entity.label == "place" for example in examples for entity in example.entities)
    assert json.loads((trained / "metrics.json").read_text())["test"]["recall_place"] <= (places - 1) / places


def test_early_stopping_ends_training(toy_data: Path, toy_encoder: Path, tmp_path: Path, run: Run) -> None:
    command = train_command(toy_data, toy_encoder, tmp_path / "out", "--patience", 1)
    command[command.index("--encoder-lr") + 1] = command[command.index("--head-lr") + 1] = "1e-12"
    assert run(*command)[0] == 0
    assert len(json.loads((tmp_path / "out" / "metrics.json").read_text())["history"]) < 5


def test_a_table_of_epochs_is_shown_and_what_may_train_longer_is_told(
    toy_data: Path, toy_encoder: Path, tmp_path: Path, run: Run
) -> None:
    command = train_command(
        toy_data, toy_encoder, tmp_path / "out", "--epochs", 3, "--gradient-accumulation", 2, "--bf16"
    )
    code, out, error = run(*command)
    assert code == 0
    history = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert history["settings"]["gradient_accumulation"] == 2
    assert history["settings"]["bf16"]
    lines = [line.split() for line in re.split(r"[\r\n]", out + error) if re.match(r" +(epoch|\d/3) ", line)]
    assert lines[0] == ["epoch", "time", "loss", "dev", "P", "dev", "R", "dev", "F1", "date", "person", "place"]
    for number, (line, entry) in enumerate(zip(lines[1:], history["history"], strict=True), start=1):
        names = ("precision", "recall", "f1", "f1_date", "f1_person", "f1_place")
        assert (line[0], line[3:]) == (f"{number}/3", [f"{entry[f'eval_{name}']:.4f}" for name in names])
    assert re.search(r"10 steps took 0:00:\d\d; the others may take 0:00:\d\d\.", out)
    assert "more may be had with 6 epochs" in error


def test_a_training_that_diverges_is_one_sentence(
    toy_data: Path, toy_encoder: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer.training_step

    def diverge(self: Trainer, model: torch.nn.Module, *arguments: object, **options: object) -> torch.Tensor:
        model.classifier.dense_1.weight.data.fill_(torch.nan)
        return step(self, model, *arguments, **options)

    monkeypatch.setattr(Trainer, "training_step", diverge)
    code, _, error = run(*train_command(toy_data, toy_encoder, tmp_path / "out"))
    assert code == 1
    assert re.search(r"hf-globalpointer: .* is nan at step \d+: the training has diverged. Lower", error)


def test_an_interrupted_run_is_resumed(
    trained: Path, toy_data: Path, toy_encoder: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    output, head = tmp_path / "out", trained.name.removeprefix("checkpoint-")
    words = train_command(toy_data, toy_encoder, output, "--test", toy_data / "test.jsonl", "--head", head)
    save = Trainer._save_checkpoint

    def save_in_part(self: Trainer, *arguments: object, **options: object) -> None:
        save(self, *arguments, **options)
        if self.state.epoch == 3:
            (output / "checkpoints" / f"checkpoint-{self.state.global_step}" / "trainer_state.json").unlink()
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "_save_checkpoint", save_in_part)
        code, _, error = run(*words)
    assert code == 130
    assert "interrupted; the same command with --resume goes on from the last complete epoch." in error

    left = sorted(output.rglob("*"))
    code, _, error = run(*words)
    assert code == 1
    assert "exists and is not empty; choose another, or remove it, or resume the run in it." in error
    code, _, error = run(*words, "--resume", "--seed", 7)
    assert code == 1
    assert f"seed was 42 when the run in {output} began, and now is 7" in error
    dev = write(tmp_path / "dev.jsonl", letters(3, 40))
    code, _, error = run(*words, "--resume", "--dev", dev)
    assert code == 1
    assert "dev_sha256 was" in error
    assert sorted(output.rglob("*")) == left

    code, _, error = run(*words, "--resume")
    assert code == 0
    assert "checkpoint-75, which is not complete: it has no Trainer state" in caplog.text
    weights, others = (load_file(folder / "model.safetensors") for folder in (output, trained))
    assert all(torch.equal(weights[name], others[name]) for name in others)
    for name in ("dev", "test", "settings", "unaligned_entities"):
        results, others = (json.loads((folder / "metrics.json").read_text()) for folder in (output, trained))
        assert results[name] == others[name]

    assert not (output / "run_settings.json").exists()
    (output / "checkpoints").mkdir()  # as if it had been killed while it removed them
    code, _, error = run(*words, "--resume")
    assert code == 1
    assert "has ended; there is nothing to resume" in error


def test_a_folder_without_a_run_is_not_resumed(toy_data: Path, toy_encoder: Path, tmp_path: Path, run: Run) -> None:
    precious = tmp_path / "out" / "model.safetensors"
    precious.parent.mkdir()
    precious.touch()
    code, _, error = run(*train_command(toy_data, toy_encoder, precious.parent), "--resume")
    assert code == 1
    assert f"there is nothing to resume in {precious.parent}" in error
    assert list(precious.parent.iterdir()) == [precious]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--train": "nowhere.jsonl"}, r"nowhere\.jsonl: no such file"),
        ({"--encoder": "nowhere"}, "cannot load the encoder nowhere"),
        ({"train.jsonl": GOOD * 6 + '{"text": \n'}, r"train\.jsonl:7: not valid JSON"),
        ({"train.jsonl": ""}, r"train\.jsonl: the file holds no examples"),
        ({"train.jsonl": '{"text": "ab", "entities": []}\n'}, r"train\.jsonl: no example holds an entity"),
        (
            {"dev.jsonl": GOOD + GOOD.replace("date", "data")},
            r"dev\.jsonl:2: label 'data' is none of the training",
        ),
        ({"dev.jsonl": GOOD.replace("5", "9")}, r"dev\.jsonl:1: entities\[0\].* 5, the length of the text"),
        (
            {"dev.jsonl": GOOD.replace('"start": 3', '"start": "3"')},
            r"dev\.jsonl:1: entities\[0\]\.start must be an int",
        ),
        ({"dev.jsonl": '{"text": "x", "entities": []}\n'}, r"dev\.jsonl: no example holds an entity"),
        ({"--encoder": "/no/such/encoder"}, "no such folder"),
        ({"--encoder-lr": "nan"}, "`encoder_lr` must be greater than 0"),
        ({"--head-lr": "-1"}, "`head_lr` must be greater than 0"),
        ({"--output": "full"}, "full exists and is not empty; choose another, or remove it"),
        ({"--output": "train.jsonl"}, r"train\.jsonl is a file; name a folder"),
    ],
)
def test_bad_input_to_train_is_one_sentence(
    change: dict[str, str],
    message: str,
    toy_encoder: Path,
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").touch()
    options = {"--train": "train.jsonl", "--dev": "dev.jsonl", "--output": "out", "--encoder": str(toy_encoder)}
    options |= {name: value for name, value in change.items() if name.startswith("--")}
    for name in ("train.jsonl", "dev.jsonl"):
        (tmp_path / name).write_text(change.get(name, GOOD), encoding="utf-8")
    code, out, err = run("train", *(word for option in options.items() for word in option))
    assert (code, out) == (1, "")
    assert re.fullmatch(rf"hf-globalpointer: .*{message}[^\n]*\n", err), err
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())  # a corrected rerun works


def test_an_encoder_of_another_kind_learns_whole_words(toy_data: Path, tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "encoder"
    make_char_tokenizer().save_pretrained(folder)
    sizes = {name: value for name, value in TINY.items() if name not in ("head_size", "initializer_range")}
    RobertaModel(RobertaConfig(**sizes, pad_token_id=0)).save_pretrained(folder)
    output = tmp_path / "out"
    code, _, err = run(*train_command(toy_data, folder, output, "--epochs", 1, "--word-aligned"))
    assert code == 0, err
    config = json.loads((output / "config.json").read_text())
    assert (config["model_type"], config["word_aligned"]) == ("encoder-efficient-global-pointer", True)
    # Letters of a word are tokens, but no entity begins or ends inside a word.
    recognize = pipeline("global-pointer-ner", model=str(output))
    inside = recognize("ab cd", threshold=1e-6)
    assert {(e["start"], e["end"]) for e in inside} == {(0, 2), (3, 5), (0, 5)}
    assert len(recognize("ab cd", threshold=1e-6, word_aligned=False)) > len(inside)


def test_brackets_in_labels_and_names_are_no_markup(
    toy_data: Path, toy_encoder: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("train.jsonl", "dev.jsonl", "q[dev].jsonl"):
        (tmp_path / name).write_text(GOOD.replace("date", "[/date]"))
    files = [
        "--train",
        "train.jsonl",
        "--dev",
        "dev.jsonl",
        "--output",
        "out",
        "--encoder",
        toy_encoder,
        "--epochs",
        1,
    ]
    code, out, _ = run("train", *files)
    assert (code, "│ [/date] │" in out) == (0, True)
    code, out, _ = run("evaluate", "--model", "out", "--data", "q[dev].jsonl")
    assert (code, "q[dev].jsonl" in out) == (0, True)
