import json
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path


ROOT = Path(__file__).parents[2]
SAMPLES = Path(str(files("hf_globalpointer.data"))) / "samples"


def run_script(name: str, *arguments: object) -> str:
    command = [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


def test_run_ner_trains_with_any_training_argument(minilm: str, tmp_path: Path) -> None:
    output = tmp_path / "out"
    data = [word for split in ("train", "dev", "test") for word in (f"--{split}_file", SAMPLES / f"{split}.jsonl")]
    shown = run_script(
        "run_ner.py", *data, "--encoder", minilm, "--output_dir", output, "--max_steps", 4, "--save_strategy", "no",
        "--load_best_model_at_end", "false", "--model", "full", "--gradient_accumulation_steps", 2,
    )  # fmt: skip
    assert "749 of 749 entities aligned" in shown
    config = json.loads((output / "config.json").read_text())
    assert config["architectures"] == ["EncoderForGlobalPointer"]
    results = json.loads((output / "all_results.json").read_text())
    assert {"eval_f1", "eval_recall_place", "test_f1", "test_macro_f1"} <= set(results)


def test_the_script_to_copy_stays_short() -> None:
    assert len((ROOT / "examples" / "run_ner.py").read_text().splitlines()) < 150
