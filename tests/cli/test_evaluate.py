import json
import re
import shutil
from pathlib import Path

import pytest

from conftest import Run
from hf_globalpointer import read_examples


GOOD = '{"text": "ab xz", "entities": [{"start": 3, "end": 5, "label": "date"}]}\n'


def test_evaluate_takes_rule_threshold_and_window(trained: Path, toy_data: Path, run: Run) -> None:
    def predicted(*options: object) -> int:
        code, out, _ = run("evaluate", "--model", trained, "--data", toy_data / "dev.jsonl", *options)
        assert code == 0
        (micro,) = [line for line in out.split("└")[0].splitlines() if line.startswith("│ micro")]
        return int(re.findall(r"[\d.]+", micro)[4])

    everything = predicted()
    assert predicted("--overlap", "nested") == everything
    assert 0 < predicted("--overlap", "flat") < everything
    assert predicted("--threshold", "0.999999") < everything
    code, _, err = run("evaluate", "--model", trained, "--data", toy_data / "dev.jsonl", "--max-length", 50)
    assert code == 1
    assert "`max_length` must be at most 40" in err


@pytest.mark.parametrize("split", ["dev", "test"])
def test_evaluate_gives_what_training_reported(trained: Path, toy_data: Path, run: Run, split: str) -> None:
    code, out, err = run("evaluate", "--model", trained, "--data", toy_data / f"{split}.jsonl")
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


def test_evaluate_writes_a_report_and_compares(trained: Path, toy_data: Path, tmp_path: Path, run: Run) -> None:
    other, report = tmp_path / "other", tmp_path / "report"
    shutil.copytree(trained, other)
    config = json.loads((other / "config.json").read_text())
    (other / "config.json").write_text(json.dumps(config | {"thresholds": {"place": 0.999999}}))
    command = ["evaluate", "--model", trained, "--data", toy_data / "test.jsonl", "--report", report]
    code, out, _ = run(*command, "--compare", other)
    assert code == 0
    assert all(name in out for name in ("length < 3", "longest 3-5", "density >= 0.3", "boundaries only", "macro_f1"))
    assert {path.name for path in report.iterdir()} == {"report.md", "report.json", "report.html"}
    content = json.loads((report / "report.json").read_text())
    reported = json.loads((trained / "metrics.json").read_text())["test"]
    assert content["micro"]["f1"]["value"] == pytest.approx(reported["f1"])
    # The long text is seen in several windows, and its entity counts once.
    assert content["types"]["date"]["gold"] == sum(
        entity.label == "date" for example in read_examples(toy_data / "test.jsonl") for entity in example.entities
    )
    # Every gold entity that was not predicted is explained.
    reasons = [error["why"] for error in content["errors"] if error["gold"]]
    assert len(reasons) == content["micro"]["gold"] - content["micro"]["correct"]
    assert {(why["reason"], why["probability"]) for why in reasons} >= {("not aligned", None)}
    assert all(error["source"].startswith(f"{toy_data / 'test.jsonl'}:") for error in content["errors"])
    recall = content["comparison"]["differences"]["recall"]
    assert recall["first"] == pytest.approx(reported["recall"])
    assert recall["second"] < recall["first"]
    assert recall["p_value"] < 0.01
    (tmp_path / "file").touch()
    code, _, err = run(*command[:-1], tmp_path / "file")
    assert (code, err.splitlines()[-1]) == (
        1,
        f"hf-globalpointer: {tmp_path / 'file'} is a file; name a folder for the output.",
    )


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
    ],
)
def test_bad_input_to_evaluate_is_one_sentence(
    arguments: list[str],
    message: str,
    trained: Path,
    toy_encoder: Path,
    tmp_path: Path,
    run: Run,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "good.jsonl").write_text(GOOD)
    (tmp_path / "other.jsonl").write_text(GOOD.replace("date", "data"))
    (tmp_path / "broken.jsonl").write_text(GOOD * 6 + "{\n" + GOOD)
    code, out, err = run(*(argument.format(model=trained, encoder=toy_encoder) for argument in arguments))
    assert (code, out) == (1, "")
    last = err.splitlines()[-1]
    assert re.search(rf"^hf-globalpointer: .*{message}", last), err
    assert "Traceback" not in err
