import json
from importlib.resources import files
from pathlib import Path

import pytest

from launching import ROOT, run


SAMPLES = Path(str(files("hf_globalpointer.data"))) / "samples"


def test_run_ner_trains_with_any_training_argument(minilm: str, tmp_path: Path) -> None:
    output = tmp_path / "out"
    data = ["--train_file", SAMPLES / "train.jsonl"]
    for split in ("dev", "test"):
        lines = (SAMPLES / f"{split}.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        (tmp_path / f"{split}.jsonl").write_text("".join(lines[:15]), encoding="utf-8")
        data += [f"--{split}_file", tmp_path / f"{split}.jsonl"]
    shown = run(
        ROOT / "examples" / "run_ner.py", *data, "--encoder", minilm, "--output_dir", output, "--max_steps", 4,
        "--save_strategy", "no", "--load_best_model_at_end", "false", "--head", "full",
        "--gradient_accumulation_steps", 2,
    )  # fmt: skip
    assert "749 of 749 entities aligned" in shown
    config = json.loads((output / "config.json").read_text())
    assert config["architectures"] == ["EncoderForGlobalPointer"]
    results = json.loads((output / "all_results.json").read_text())
    assert {"eval_f1", "eval_recall_place", "test_f1", "test_macro_f1"} <= set(results)


@pytest.mark.parametrize("script", ["run_ner.py", "run_ner_no_trainer.py", "predict_ray.py"])
def test_the_scripts_to_copy_stay_short(script: str) -> None:
    assert len((ROOT / "examples" / script).read_text().splitlines()) < 200
