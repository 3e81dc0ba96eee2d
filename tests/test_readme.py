import re
import shutil
from importlib.resources import files
from pathlib import Path

import pytest


ROOT = Path(__file__).parent.parent


def test_the_python_of_the_readme_runs_as_it_stands(
    minilm: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    code = "\n".join(blocks)
    for words, instead in (
        ("google-bert/bert-base-cased", minilm),
        ("FacebookAI/xlm-roberta-base", minilm),
        ("num_train_epochs=10", "max_steps=2"),
    ):
        assert words in code
        code = code.replace(words, instead)
    for name in ("train.jsonl", "dev.jsonl"):
        shutil.copy(str(files("hf_globalpointer.data") / "samples" / name), tmp_path)
    monkeypatch.chdir(tmp_path)
    given = {"texts": ["The University of Leeds lies in Leeds."] * 3, "words": ["In", "Leeds", "."]}
    exec(compile(code, "README.md", "exec"), given)
    shown = capsys.readouterr().out
    assert "749 of 749 entities aligned" in shown
    assert shown.rstrip().splitlines()[-1].startswith("[")
    assert type(given["model"]).__name__ == "EncoderForEfficientGlobalPointer"
