import re
import shlex
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel

from conftest import TINY, make_char_tokenizer
from hf_globalpointer_cli import main


ROOT = Path(__file__).parent.parent
SAMPLES = files("hf_globalpointer.data") / "samples"


def blocks(language: str) -> str:
    """All code of the README in a language."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    return "\n".join(re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL))


def commands(program: str) -> list[list[str]]:
    """The words of each command of the README that runs a program, as a shell has them."""
    lines = blocks("bash").replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True)) and words[0] == program]


@pytest.fixture
def samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working directory, with the shipped samples and a text."""
    for split in ("train", "dev", "test"):
        # An encoder that knows nothing finds entities everywhere, which takes long to evaluate.
        lines = (SAMPLES / f"{split}.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
        (tmp_path / f"{split}.jsonl").write_text("".join(lines[:30]), encoding="utf-8")
    (tmp_path / "texts.txt").write_text("The University of Leeds lies in Leeds.\nNothing.\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def encoder(samples: Path) -> str:
    """A BERT that is small and knows nothing."""
    folder = samples / "encoder"
    make_char_tokenizer().save_pretrained(folder)
    torch.manual_seed(0)
    sizes = {name: value for name, value in TINY.items() if name not in ("head_size", "initializer_range")}
    BertModel(BertConfig(**{**sizes, "max_position_embeddings": 512})).save_pretrained(folder)
    return str(folder)


def test_the_python_of_the_readme_runs_as_it_stands(
    minilm: str, samples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = blocks("python")
    for words, instead in (
        ("google-bert/bert-base-cased", minilm),
        ("FacebookAI/xlm-roberta-base", minilm),
        ("num_train_epochs=10", "max_steps=2"),
    ):
        assert words in code
        code = code.replace(words, instead)
    given = {"texts": ["The University of Leeds lies in Leeds."] * 3, "words": ["In", "Leeds", "."]}
    exec(compile(code, "README.md", "exec"), given)
    shown = capsys.readouterr().out
    assert re.search(r"^(\d+) of \1 entities aligned", shown, re.MULTILINE)
    assert shown.rstrip().splitlines()[-1].startswith("[")
    assert type(given["model"]).__name__ == "EncoderForEfficientGlobalPointer"


def test_the_commands_of_the_readme_run_as_they_stand(
    encoder: str, samples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = commands("hf-globalpointer")
    assert [words[1] for words in lines] == ["train", "evaluate", "predict", "predict", "convert"]
    for _, *words in lines:
        words = [encoder if word.startswith("google-bert/") else word for word in words]
        with pytest.raises(SystemExit) as exit:
            main([*words, "--epochs", "1"] if words[0] == "train" else words)
        shown = capsys.readouterr()
        if words[0] == "convert":
            # All its options are known; the weights are somebody's.
            assert "best_model.pt: no such file" in shown.err
        else:
            assert not exit.value.code, shown.err
    assert len((samples / "entities.jsonl").read_text().splitlines()) == 2
    assert (samples / "my-ner" / "metrics.json").is_file()
