"""Runs that are killed, and resumed, end with the weights of undisturbed ones."""

import json
import os
import random
import shutil
import signal
import time
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, BertConfig, BertModel, LongformerConfig, LongformerModel

from launching import ROOT, ends, run, start


SAMPLES = Path(str(files("hf_globalpointer.data"))) / "samples"
EPOCHS = 8
SCRIPTS = {
    "run_ner.py": ["--use_cpu", "--disable_tqdm", "true", "--train_sampling_strategy", "random"],
    "run_ner_no_trainer.py": [],
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory, minilm: str) -> Path:
    """A tiny random encoder, and some of the sample data."""
    folder = tmp_path_factory.mktemp("data")
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    tokenizer.save_pretrained(folder / "encoder")
    torch.manual_seed(0)
    sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
    BertModel(BertConfig(vocab_size=len(tokenizer), **sizes)).save_pretrained(folder / "encoder")
    for split, count in (("train", 61), ("dev", 21)):
        lines = (SAMPLES / f"{split}.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        (folder / f"{split}.jsonl").write_text("".join(lines[:count]), encoding="utf-8")
    return folder


def arguments(script: str, data: Path, output: Path) -> list[object]:
    paths = ["--encoder", data / "encoder", "--output_dir", output]
    texts = ["--train_file", data / "train.jsonl", "--dev_file", data / "dev.jsonl"]
    rates = ["--learning_rate", 0.01, "--head_learning_rate", 0.03]
    sizes = ["--num_train_epochs", EPOCHS, "--per_device_train_batch_size", 4, "--gradient_accumulation_steps", 3]
    return [*paths, *texts, *rates, *sizes, *SCRIPTS[script]]


@pytest.fixture(scope="module")
def undisturbed(data: Path) -> dict[str, Path]:
    outputs = {}
    for script in SCRIPTS:
        outputs[script] = data / f"undisturbed-{script}"
        run(ROOT / "examples" / script, *arguments(script, data, outputs[script]))
    return outputs


def assert_same_weights(one: Path, other: Path) -> None:
    weights, others = (load_file(folder / "model.safetensors") for folder in (one, other))
    assert weights.keys() == others.keys()
    assert all(torch.equal(weights[name], others[name]) for name in weights)


def test_both_scripts_learn_the_same_to_the_last_bit(undisturbed: dict[str, Path]) -> None:
    assert_same_weights(*undisturbed.values())
    results = [json.loads((folder / "all_results.json").read_text()) for folder in undisturbed.values()]
    assert {name: results[0][f"eval_{name}"] for name in results[1]["dev"]} == results[1]["dev"]


def test_both_scripts_learn_the_same_on_two_processes(data: Path, tmp_path: Path) -> None:
    for script in SCRIPTS:
        run(ROOT / "examples" / script, *arguments(script, data, tmp_path / script), processes=2)
    weights, others = (load_file(tmp_path / script / "model.safetensors") for script in SCRIPTS)
    for name, value in weights.items():
        torch.testing.assert_close(value, others[name], rtol=1e-4, atol=1e-5)


def kill_when(script: str, *words: object, shown: Path, moment: Callable[[], bool]) -> bool:
    """Start a script and kill it at a moment; whether it came before the end of the script."""
    process = start(ROOT / "examples" / script, *words, shown=shown)
    while process.is_alive():
        # Stopped while the moment is looked for: what is seen is what is left behind.
        os.kill(process.pid, signal.SIGSTOP)
        found = moment()
        os.kill(process.pid, signal.SIGKILL if found else signal.SIGCONT)
        if found:
            process.join()
            return True
        time.sleep(0.001)
    return False


def is_writing_a_checkpoint(output: Path, after: int) -> bool:
    """Whether a checkpoint after so many others is there in part only."""
    names = {path.name for path in output.glob("checkpoint*")}
    if "checkpoint.partial" in names:
        return f"checkpoint-{after:04d}" in names and any((output / "checkpoint.partial").iterdir())
    last = max((path for path in output.glob("checkpoint-*")), key=lambda path: path.stat().st_ctime, default=None)
    return len(names) > after and last is not None and not (last / "trainer_state.json").exists()


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_run_killed_again_and_again_ends_with_the_same_weights(
    script: str, data: Path, undisturbed: dict[str, Path], tmp_path: Path
) -> None:
    output = tmp_path / "out"
    words, shown = arguments(script, data, output), tmp_path / "shown.txt"
    assert kill_when(script, *words, shown=shown, moment=lambda: is_writing_a_checkpoint(output, after=1))
    assert not (output / "all_results.json").exists()

    seen = set(output.glob("checkpoint-*"))
    moment = time.monotonic() + 60
    generator = random.Random(0)

    def some_time_after_the_next_checkpoint() -> bool:
        nonlocal moment
        if set(output.glob("checkpoint-*")) - seen:
            moment = min(moment, time.monotonic() + generator.uniform(0, 0.2))
        return time.monotonic() >= moment

    assert kill_when(script, *words, "--resume", shown=shown, moment=some_time_after_the_next_checkpoint)
    left = sorted(path.name for path in output.iterdir())
    refused = "exists and is not empty; choose another, or remove it"
    assert refused in fails(script, *words)
    assert sorted(path.name for path in output.iterdir()) == left

    if script == "run_ner_no_trainer.py":
        (output / "checkpoint-best").mkdir()  # as somebody may keep one
        # As if it had been killed before it removed the older checkpoint.
        shutil.copytree(max(output.glob("checkpoint-0*")), output / "checkpoint-0001", dirs_exist_ok=True)
    run(ROOT / "examples" / script, *words, "--resume")
    assert_same_weights(output, undisturbed[script])
    if script == "run_ner_no_trainer.py":
        assert {path.name for path in output.glob("checkpoint*")} == {"checkpoint-best", f"checkpoint-{EPOCHS:04d}"}


def fails(script: str, *words: object) -> str:
    """The last line of a script that fails."""
    code, shown = ends(ROOT / "examples" / script, *words)
    assert code == 1, shown
    return shown.splitlines()[-1]


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_run_is_not_resumed_as_another(
    script: str, data: Path, undisturbed: dict[str, Path], tmp_path: Path
) -> None:
    output = shutil.copytree(undisturbed[script], tmp_path / "out")
    for results in output.glob("*_results.json"):
        results.unlink()
    lines = (data / "train.jsonl").read_text(encoding="utf-8").replace('"place"', '"aplace"')
    (tmp_path / "train.jsonl").write_text(lines, encoding="utf-8")
    words = [*arguments(script, data, output), "--resume"]
    words[words.index("--train_file") + 1] = tmp_path / "train.jsonl"
    assert "train_file was" in fails(script, *words)
    settings = json.loads((output / "run_settings.json").read_text())
    settings["train_file"] = str(tmp_path / "train.jsonl")
    (output / "run_settings.json").write_text(json.dumps(settings))
    assert "labels was" in fails(script, *words)


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_folder_without_a_run_is_not_resumed(script: str, data: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").touch()
    assert "there is nothing to resume in" in fails(script, *arguments(script, data, tmp_path), "--resume")
    assert [path.name for path in tmp_path.iterdir()] == ["model.safetensors"]


def test_a_run_of_the_trainer_that_has_ended_is_not_resumed(data: Path, undisturbed: dict[str, Path]) -> None:
    script = "run_ner.py"
    assert "has ended; there is nothing to resume" in fails(
        script, *arguments(script, data, undisturbed[script]), "--resume"
    )


@pytest.mark.parametrize("script", SCRIPTS)
def test_an_encoder_with_parameters_without_gradient_trains_on_two_processes(
    script: str, data: Path, tmp_path: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(data / "encoder")
    tokenizer.save_pretrained(tmp_path / "encoder")
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 24}
    config = LongformerConfig(vocab_size=len(tokenizer), attention_window=8, pad_token_id=0, **sizes)
    LongformerModel(config).save_pretrained(tmp_path / "encoder")
    words = [*arguments(script, data, tmp_path / "out"), "--encoder", tmp_path / "encoder", "--num_train_epochs", 1]
    run(ROOT / "examples" / script, *words, processes=2)
    assert (tmp_path / "out" / "all_results.json").exists()
