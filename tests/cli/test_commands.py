import json
import random
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForTokenClassification,
    BertConfig,
    BertModel,
    RobertaConfig,
    RobertaModel,
    Trainer,
    pipeline,
)

import hf_globalpointer
from conftest import TINY, make_char_tokenizer
from hf_globalpointer import read_examples
from hf_globalpointer.cli import main
from hf_globalpointer.cli.train import _undertrained


Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """Run a command in this process: exit code, standard output, standard error."""

    def run(*arguments: object) -> tuple[int, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as exit:
            main([str(argument) for argument in arguments])
        output = capfd.readouterr()
        return int(exit.value.code or 0), output.out, output.err

    return run


def write(path: Path, records: list[dict[str, object]]) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
    return path


def letters(seed: int, count: int) -> list[dict[str, object]]:
    """Random words; "xz" is a date and "y" a place, also inside "qyq", which is a person."""
    generator = random.Random(seed)
    records = []
    for index in range(count):
        text, entities = "", []
        for word in generator.choices(["ab", "c", "dd", "xz", "y", "qyq"], k=generator.randint(2, 8)):
            start = len(text)
            if word == "xz":
                entities.append({"start": start, "end": start + 2, "label": "date"})
            if word == "qyq":
                entities.append({"start": start, "end": start + 3, "label": "person"})
            if "y" in word:
                at = start + word.index("y")
                entities.append({"start": at, "end": at + 1, "label": "place"})
            text += word + " "
        records.append({"id": f"{seed}-{index}", "text": text.strip(), "entities": entities})
    return records


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    write(folder / "train.jsonl", letters(0, 150))
    write(folder / "dev.jsonl", letters(1, 40))
    # Longer than the encoder takes, and with an entity that begins inside the word that is one unknown token.
    long = {"text": "c " * 60 + "xz", "entities": [{"start": 120, "end": 122, "label": "date"}]}
    odd = {"text": "xz y", "entities": [{"start": 2, "end": 4, "label": "place"}]}
    write(folder / "test.jsonl", [*letters(2, 40), long, odd])
    return folder


@pytest.fixture(scope="module")
def encoder(data: Path) -> Path:
    folder = data / "encoder"
    make_char_tokenizer().save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {name: value for name, value in TINY.items() if name not in ("head_size", "initializer_range")}
    BertModel(BertConfig(**sizes)).save_pretrained(folder)
    return folder


def train_command(data: Path, encoder: Path, output: Path, *more: object) -> list[str]:
    files = ["--train", data / "train.jsonl", "--dev", data / "dev.jsonl", "--output", output, "--encoder", encoder]
    speed = ["--epochs", 12, "--encoder-lr", 5e-3, "--head-lr", 1e-2, "--batch-size", 8]
    return [str(word) for word in ("train", *files, *speed, *more)]


@pytest.fixture(scope="module", params=["efficient", "full"])
def trained(request: pytest.FixtureRequest, data: Path, encoder: Path) -> Path:
    output = data / f"checkpoint-{request.param}"
    with pytest.raises(SystemExit) as exit:
        main(train_command(data, encoder, output, "--test", data / "test.jsonl", "--model", request.param))
    assert not exit.value.code
    return output


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


def test_options_go_before_the_rules_of_the_data(data: Path, encoder: Path, tmp_path: Path, run: Run) -> None:
    output = tmp_path / "out"
    options = ["--epochs", 1, "--overlap", "flat", "--max-length", 30, "--joined", 0]
    code, _, err = run(*train_command(data, encoder, output, *options))
    assert code == 0
    assert 'overlap "nested"' in err
    assert "Epochs: 1, steps in each: 19; peak learning rates: 0.005 (encoder), 0.01 (head)." in " ".join(err.split())
    config = json.loads((output / "config.json").read_text())
    assert (config["overlap"], config["max_length"]) == ("flat", 30)


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--max-length", 41, "`max_length` must be at most 40"),
        ("--max-length", 2, "Windows of 2 tokens leave none beside the special ones"),
        ("--joined", "inf", "--joined must be a finite number"),
    ],
)
def test_options_that_cannot_be_are_told_before_training(
    data: Path, encoder: Path, tmp_path: Path, run: Run, option: str, value: object, message: str
) -> None:
    code, _, err = run(*train_command(data, encoder, tmp_path / "out", option, value))
    assert code == 1
    assert message in " ".join(err.split())
    assert "Traceback" not in err


def test_evaluate_takes_rule_threshold_and_window(trained: Path, data: Path, run: Run) -> None:
    def predicted(*options: object) -> int:
        code, out, _ = run("evaluate", "--model", trained, "--data", data / "dev.jsonl", *options)
        assert code == 0
        (micro,) = [line for line in out.split("└")[0].splitlines() if line.startswith("│ micro")]
        return int(re.findall(r"[\d.]+", micro)[4])

    everything = predicted()
    assert predicted("--overlap", "nested") == everything
    assert 0 < predicted("--overlap", "flat") < everything
    assert predicted("--threshold", "0.999999") < everything
    code, _, err = run("evaluate", "--model", trained, "--data", data / "dev.jsonl", "--max-length", 50)
    assert code == 1
    assert "`max_length` must be at most 40" in err


@pytest.mark.parametrize("split", ["dev", "test"])
def test_evaluate_gives_what_training_reported(trained: Path, data: Path, run: Run, split: str) -> None:
    code, out, err = run("evaluate", "--model", trained, "--data", data / f"{split}.jsonl")
    assert code == 0
    assert "Traceback" not in err
    reported = json.loads((trained / "metrics.json").read_text())[split]
    table = out.split("└")[0]
    cells = [re.findall(r"[\w.]+", line) for line in table.splitlines() if line.startswith("│")]
    rows = {name: [float(cell) for cell in ratios[:3]] for name, *ratios in cells}
    assert set(rows) == {"date", "person", "place", "micro", "macro"}
    for name, ratios in rows.items():
        key = {"micro": "{}", "macro": "macro_{}"}.get(name, f"{{}}_{name}")
        expected = [reported[key.format(ratio)] for ratio in ("precision", "recall", "f1")]
        assert ratios == pytest.approx(expected, abs=5e-5)


def test_evaluate_writes_a_report_and_compares(trained: Path, data: Path, tmp_path: Path, run: Run) -> None:
    other, report = tmp_path / "other", tmp_path / "report"
    shutil.copytree(trained, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"thresholds": {"place": 0.999999}}))
    command = ["evaluate", "--model", trained, "--data", data / "test.jsonl", "--report", report]
    code, out, _ = run(*command, "--compare", other)
    assert code == 0
    assert all(name in out for name in ("length < 3", "longest 3-5", "density >= 0.3", "boundaries only", "macro_f1"))
    assert {path.name for path in report.iterdir()} == {"report.md", "report.json", "report.html"}
    content = json.loads((report / "report.json").read_text())
    reported = json.loads((trained / "metrics.json").read_text())["test"]
    assert content["micro"]["f1"]["value"] == pytest.approx(reported["f1"])
    # The long text is seen in several windows, and its entity counts once.
    assert content["types"]["date"]["gold"] == sum(
        entity.label == "date" for example in read_examples(data / "test.jsonl") for entity in example.entities
    )
    recall = content["comparison"]["differences"]["recall"]
    assert recall["first"] == pytest.approx(reported["recall"])
    assert recall["second"] < recall["first"]
    assert recall["p_value"] < 0.01
    (tmp_path / "file").touch()
    code, _, err = run(*command[:-1], tmp_path / "file")
    assert (code, err.splitlines()[-1]) == (1, f"hf-globalpointer: cannot write to {tmp_path / 'file'}: File exists.")


def test_what_cannot_be_aligned_counts_as_missed(trained: Path, data: Path) -> None:
    examples = list(read_examples(data / "test.jsonl"))
    places = sum(entity.label == "place" for example in examples for entity in example.entities)
    assert json.loads((trained / "metrics.json").read_text())["test"]["recall_place"] <= (places - 1) / places


def test_early_stopping_ends_training(data: Path, encoder: Path, tmp_path: Path, run: Run) -> None:
    command = train_command(data, encoder, tmp_path / "out", "--patience", 1)
    command[command.index("--encoder-lr") + 1] = command[command.index("--head-lr") + 1] = "1e-12"
    assert run(*command)[0] == 0
    assert len(json.loads((tmp_path / "out" / "metrics.json").read_text())["history"]) < 5


def test_a_table_of_epochs_is_shown_and_what_may_train_longer_is_told(
    data: Path, encoder: Path, tmp_path: Path, run: Run
) -> None:
    command = train_command(data, encoder, tmp_path / "out", "--epochs", 3, "--gradient-accumulation", 2, "--bf16")
    code, out, error = run(*command)
    assert code == 0
    history = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert history["settings"]["gradient_accumulation"] == 2
    assert history["settings"]["bf16"]
    lines = [line.split() for line in re.split(r"[\r\n]", out + error) if re.match(r" +(epoch|\d/3) ", line)]
    assert lines[0] == ["epoch", "loss", "dev", "P", "dev", "R", "dev", "F1", "date", "person", "place"]
    for number, (line, entry) in enumerate(zip(lines[1:], history["history"], strict=True), start=1):
        names = ("precision", "recall", "f1", "f1_date", "f1_person", "f1_place")
        assert (line[0], line[2:]) == (f"{number}/3", [f"{entry[f'eval_{name}']:.4f}" for name in names])
    assert "more may be had with --epochs 6" in error


@pytest.mark.parametrize(
    ("scores", "told"),
    [([0.1, 0.5, 0.6], True), ([0.1, 0.6, 0.5], False), ([0.1, 0.6, 0.6001], False), ([0.6], False), ([], False)],
)
def test_only_what_still_rises_is_called_undertrained(scores: list[float], told: bool) -> None:
    history = [{"eval_f1": score, "epoch": index} for index, score in enumerate(scores)]
    assert (_undertrained([*history, {"loss": 0.1}], len(scores)) is not None) == told
    assert _undertrained(history, len(scores) + 1) is None  # stopped early


def test_a_training_that_diverges_is_one_sentence(
    data: Path, encoder: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer.training_step

    def diverge(self: Trainer, model: torch.nn.Module, *arguments: object, **options: object) -> torch.Tensor:
        model.classifier.dense_1.weight.data.fill_(torch.nan)
        return step(self, model, *arguments, **options)

    monkeypatch.setattr(Trainer, "training_step", diverge)
    code, _, error = run(*train_command(data, encoder, tmp_path / "out"))
    assert code == 1
    assert re.search(r"hf-globalpointer: .* is nan at step \d+: the training has diverged. Lower", error)


def test_an_interrupted_run_is_resumed(
    trained: Path, data: Path, encoder: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    output, head = tmp_path / "out", trained.name.removeprefix("checkpoint-")
    words = train_command(data, encoder, output, "--test", data / "test.jsonl", "--model", head)
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
    assert "interrupted; the same command with --resume goes on from the last whole epoch." in error

    left = sorted(output.rglob("*"))
    code, _, error = run(*words)
    assert code == 1
    assert "exists and is not empty; choose another, remove it, or resume the run in it" in error
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
    assert "checkpoint-75, which is not whole: it has no Trainer state" in caplog.text
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


def test_a_folder_without_a_run_is_not_resumed(data: Path, encoder: Path, tmp_path: Path, run: Run) -> None:
    precious = tmp_path / "out" / "model.safetensors"
    precious.parent.mkdir()
    precious.touch()
    code, _, error = run(*train_command(data, encoder, precious.parent), "--resume")
    assert code == 1
    assert f"there is nothing to resume in {precious.parent}" in error
    assert list(precious.parent.iterdir()) == [precious]


def test_predict_writes_the_packages_own_format(trained: Path, data: Path, tmp_path: Path, run: Run) -> None:
    code, out, _ = run("predict", "--model", trained, "ab xz", "qyq")
    assert code == 0
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["text"] for line in lines] == ["ab xz", "qyq"]
    assert [(e["start"], e["end"], e["label"]) for e in lines[1]["entities"]] == [(0, 3, "person"), (1, 2, "place")]
    assert all(0.5 < e["score"] < 1 for line in lines for e in line["entities"])

    output = tmp_path / "found.jsonl"
    assert run("predict", "--model", trained, "--input", data / "test.jsonl", "--output", output)[0] == 0
    given, found = (list(read_examples(path)) for path in (data / "test.jsonl", output))
    assert [(example.id, example.text) for example in found] == [(example.id, example.text) for example in given]
    assert [path.name for path in tmp_path.iterdir()] == ["found.jsonl"]

    text = tmp_path / "texts.txt"
    text.write_text("ab xz\n\nqyq\n", encoding="utf-8")
    first, blank, last = run("predict", "--model", trained, "--input", text)[1].splitlines(keepends=True)
    assert first + last == out
    assert json.loads(blank) == {"text": "", "entities": []}
    assert '"entities": []' in run("predict", "--model", trained, "--threshold", 0.999999, "c")[1]


GOOD = '{"text": "ab xz", "entities": [{"start": 3, "end": 5, "label": "date"}]}\n'


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
        ({"--encoder-lr": "nan"}, "--encoder-lr must be greater than 0"),
        ({"--head-lr": "-1"}, "--head-lr must be greater than 0"),
        ({"--output": "full"}, "full exists and is not empty; choose another, remove it, or resume"),
        ({"--output": "train.jsonl"}, r"train\.jsonl is a file; name a folder"),
    ],
)
def test_bad_input_to_train_is_one_sentence(
    change: dict[str, str],
    message: str,
    encoder: Path,
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "precious").touch()
    options = {"--train": "train.jsonl", "--dev": "dev.jsonl", "--output": "out", "--encoder": str(encoder)}
    options |= {name: value for name, value in change.items() if name.startswith("--")}
    for name in ("train.jsonl", "dev.jsonl"):
        (tmp_path / name).write_text(change.get(name, GOOD), encoding="utf-8")
    code, out, err = run("train", *(word for option in options.items() for word in option))
    assert (code, out) == (1, "")
    # Nothing but the bar of loading before it.
    assert re.fullmatch(rf"(\rLoading weights.*\n)?hf-globalpointer: .*{message}[^\n]*\n", err), err
    assert not (tmp_path / "out").exists() or not list((tmp_path / "out").iterdir())  # a corrected rerun works


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["evaluate", "--model", "nowhere", "--data", "good.jsonl"], "cannot load the model nowhere: "),
        (["evaluate", "--model", "empty", "--data", "good.jsonl"], "holds no config.json"),
        (["evaluate", "--model", "{model}", "--data", "broken.jsonl"], r"broken\.jsonl:7: not valid JSON"),
        (["evaluate", "--model", "{encoder}", "--data", "good.jsonl"], "of type 'bert', not a GlobalPointer model"),
        (["evaluate", "--model", "{model}/config.json", "--data", "good.jsonl"], "it is a file; name the folder"),
        (["evaluate", "--model", "/no/such/model", "--data", "good.jsonl"], "no such folder"),
        (
            ["evaluate", "--model", "{model}", "--data", "other.jsonl"],
            r"other\.jsonl:1: label 'data' is none of the",
        ),
        (["evaluate", "--model", "{model}", "--data", "empty"], "a folder; name a file in it"),
        (["predict", "--model", "{model}", "x", "--output", "empty"], "cannot write empty: it is a folder"),
        (["predict", "--model", "{model}"], "give either texts or --input"),
        (["predict", "--model", "{model}", "x", "--input", "good.jsonl"], "give either texts or --input"),
        (["predict", "--model", "{model}", "x", "--threshold", "1.5"], "--threshold must be between 0 and 1"),
        (["predict", "--model", "{model}", "--input", "nowhere.txt"], r"nowhere\.txt: no such file"),
        (["predict", "--model", "{model}", "--input", "good.csv"], r"good\.csv:1: no column is named text"),
        (["predict", "--model", "{model}", "x", "--output", "nowhere/x.jsonl"], "cannot write nowhere"),
        (
            ["predict", "--model", "{model}", "x", "--output", "/proc/x"],
            "cannot write /proc/x: no file can be made in its folder",
        ),
    ],
)
def test_bad_input_to_evaluate_and_predict_is_one_sentence(
    arguments: list[str],
    message: str,
    trained: Path,
    encoder: Path,
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "good.jsonl").write_text(GOOD)
    (tmp_path / "good.csv").write_text("some text")
    (tmp_path / "other.jsonl").write_text(GOOD.replace("date", "data"))
    (tmp_path / "broken.jsonl").write_text(GOOD * 6 + "{\n" + GOOD)
    code, out, err = run(*(argument.format(model=trained, encoder=encoder) for argument in arguments))
    assert (code, out) == (1, "")
    last = err.splitlines()[-1]
    assert re.search(rf"^hf-globalpointer: .*{message}", last), err
    assert "Traceback" not in err


def test_a_prediction_that_fails_midway_leaves_no_file_that_looks_whole(
    trained: Path, tmp_path: Path, run: Run
) -> None:
    (tmp_path / "broken.jsonl").write_text(GOOD * 6 + "{\n" + GOOD)
    output = tmp_path / "found.jsonl"
    code, _, err = run(
        "predict", "--model", trained, "--input", tmp_path / "broken.jsonl", "--output", output, "--batch-size", 2
    )
    assert code == 1
    assert "broken.jsonl:7" in err.splitlines()[-1]
    assert not output.exists()
    assert len((tmp_path / "found.jsonl.partial").read_text().splitlines()) == 6


def test_an_encoder_of_another_kind_learns_whole_words(data: Path, tmp_path: Path, run: Run) -> None:
    folder = tmp_path / "encoder"
    make_char_tokenizer().save_pretrained(folder)
    sizes = {name: value for name, value in TINY.items() if name not in ("head_size", "initializer_range")}
    RobertaModel(RobertaConfig(**sizes, pad_token_id=0)).save_pretrained(folder)
    output = tmp_path / "out"
    code, _, err = run(*train_command(data, folder, output, "--epochs", 1, "--word-aligned"))
    assert code == 0, err
    config = json.loads((output / "config.json").read_text())
    assert (config["model_type"], config["word_aligned"]) == ("encoder-efficient-global-pointer", True)
    # Letters of a word are tokens, but no entity begins or ends inside a word.
    recognize = pipeline("global-pointer-ner", model=str(output))
    inside = recognize("ab cd", threshold=1e-6)
    assert {(e["start"], e["end"]) for e in inside} == {(0, 2), (3, 5), (0, 5)}
    assert len(recognize("ab cd", threshold=1e-6, word_aligned=False)) > len(inside)


def test_the_installed_command_answers(tmp_path: Path) -> None:
    command = str(Path(sys.executable).with_name("hf-globalpointer"))
    shown = subprocess.run([command, "--help"], capture_output=True, text=True, check=True).stdout
    assert all(name in shown for name in ("train", "evaluate", "predict"))
    failed = subprocess.run(
        [command, "evaluate", "--model", "x", "--data", "nowhere.jsonl"], capture_output=True, text=True, cwd=tmp_path
    )
    assert (failed.returncode, failed.stdout) == (1, "")
    # Libraries that Transformers imports may say something first.
    assert failed.stderr.endswith("hf-globalpointer: nowhere.jsonl: no such file; check the path.\n")
    assert "Traceback" not in failed.stderr
    shown = subprocess.run([command, "--version"], capture_output=True, text=True, check=True).stdout
    assert shown == f"hf-globalpointer {hf_globalpointer.__version__}\n"


def test_brackets_in_labels_and_names_are_no_markup(
    data: Path, encoder: Path, tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("train.jsonl", "dev.jsonl", "q[dev].jsonl"):
        (tmp_path / name).write_text(GOOD.replace("date", "[/date]"))
    files = ["--train", "train.jsonl", "--dev", "dev.jsonl", "--output", "out", "--encoder", encoder, "--epochs", 1]
    code, out, _ = run("train", *files)
    assert (code, "│ [/date] │" in out) == (0, True)
    code, out, _ = run("evaluate", "--model", "out", "--data", "q[dev].jsonl")
    assert (code, "q[dev].jsonl" in out) == (0, True)


def test_a_lone_surrogate_comes_out_as_it_went_in(trained: Path, tmp_path: Path, run: Run) -> None:
    (tmp_path / "texts.jsonl").write_text('{"id": 7, "text": "xz \\ud800 \u00e9"}\n', encoding="utf-8")
    code, out, _ = run("predict", "--model", trained, "--input", tmp_path / "texts.jsonl")
    assert code == 0
    record = json.loads(out)
    assert (record["id"], record["text"]) == (7, "xz \ud800 \u00e9")


def test_output_follows_links_and_leaves_devices_what_they_are(trained: Path, tmp_path: Path, run: Run) -> None:
    link, target = tmp_path / "link.jsonl", tmp_path / "target.jsonl"
    target.touch()
    link.symlink_to(target)
    assert run("predict", "--model", trained, "xz", "--output", link)[0] == 0
    assert link.is_symlink()
    assert '"label": "date"' in target.read_text()
    code, _, err = run("predict", "--model", trained, "xz", "--output", "/dev/full")
    assert (code, Path("/dev/full").is_char_device()) == (1, True)
    assert err.splitlines()[-1] == "hf-globalpointer: [Errno 28] No space left on device"
