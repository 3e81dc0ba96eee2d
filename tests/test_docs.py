import re
import shlex
import shutil
from importlib.resources import files
from pathlib import Path

import pytest

import hf_globalpointer
from hf_globalpointer import Example
from hf_globalpointer_cli import main


ROOT = Path(__file__).parent.parent
SAMPLES = files("hf_globalpointer.data") / "samples"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
COLUMNS = "Ada\tB-person\nlives\tO\nin\tO\nLeeds\tB-place\n\n"


def blocks(page: Path, language: str) -> str:
    """All code of a page in a language."""
    return "\n".join(re.findall(rf"```{language}\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL))


def commands() -> list[list[str]]:
    """The words of each command `hf-globalpointer` on a page, as a shell has them; each once."""
    lines = "\n".join(blocks(page, "bash").replace("\\\n", " ") for page in PAGES).splitlines()
    words = [shlex.split(line, comments=True) for line in dict.fromkeys(lines)]
    return [line[1:] for line in words if line and line[0] == "hf-globalpointer"]


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


def run_python(page: str, instead: dict[str, str], **given: object) -> dict[str, object]:
    """Run the code of a page, in which these words must stand, with others in their place."""
    code = blocks(ROOT / page, "python")
    for words, others in instead.items():
        assert words in code
        code = code.replace(words, others)
    exec(compile(code, page, "exec"), given)
    return given


def test_the_python_of_readme_and_pipeline_runs_as_it_stands(encoder: str, samples: Path) -> None:
    short = {"google-bert/bert-base-cased": encoder, 'output="my-ner"': 'output="my-ner", epochs=1'}
    run_python("README.md", short)
    texts, words = ["The University of Leeds lies in Leeds."] * 3, ["In", "Leeds", "."]
    run_python("docs/pipeline.md", {', on_long="error"': ""}, texts=texts, words=words)


def test_the_python_of_training_runs_as_it_stands(
    minilm: str, samples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    encoders = dict.fromkeys(("google-bert/bert-base-cased", "FacebookAI/xlm-roberta-base"), minilm)
    given = run_python("docs/training.md", encoders | {"num_train_epochs=10": "max_steps=2"})
    assert re.search(r"^(\d+) of \1 entities aligned", capsys.readouterr().out, re.MULTILINE)
    assert type(given["model"]).__name__ == "EncoderForEfficientGlobalPointer"


def test_the_python_of_export_runs_as_it_stands(
    checkpoint: Path, samples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # An untrained model finds entities everywhere, which takes long to compare on the samples.
    instead = {'model="my-ner"), "my-ner-exported")': f'model="{checkpoint}"), "my-ner-exported", examples=few)'}
    instead['model="my-ner"'] = f'model="{checkpoint}"'
    run_python("docs/export.md", instead, few=[Example("The University of Leeds lies in Leeds.")])
    assert "Texts compared: 1; " in capsys.readouterr().out


def test_the_commands_of_all_pages_run_as_they_stand(
    encoder: str, minilm: str, samples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = commands()
    names = {"train", "predict", "evaluate", "tune-thresholds", "convert", "data", "export", "suggest"}
    assert {words[0] for words in lines} == names
    for name in ("old", "train", "dev", "test"):
        (samples / f"{name}.conll").write_text(COLUMNS)
    # Training first, and another model to compare with; last what writes other examples in place of the samples.
    for words in sorted(lines, key=lambda words: (words[0] != "train", words[0] == "data")):
        known = minilm if words[0] == "data" else encoder
        words = [known if word.startswith("google-bert/") else word for word in words]
        with pytest.raises(SystemExit) as exit:
            main([*words, "--epochs", "1"] if words[0] == "train" else words)
        shown = capsys.readouterr()
        if words[0] == "convert":
            # All its options are known; the weights are somebody's.
            assert "best_model.pt: no such file" in shown.err
        else:
            assert not exit.value.code, f"{words}: {shown.err}"
        if words[0] == "train":
            shutil.copytree(samples / "my-ner", samples / "other-ner")
    assert len((samples / "entities.jsonl").read_text().splitlines()) == 2
    assert (samples / "report" / "report.html").is_file()


def test_the_python_of_the_tutorial_runs_as_it_stands(checkpoint: Path, samples: Path) -> None:
    run_python("docs/tutorial.md", {'model="my-ner"': f'model="{checkpoint}"'})


def test_every_public_name_has_a_reference_entry() -> None:
    pages = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "docs" / "reference").glob("*.md"))
    described = set(re.findall(r"^\.\. auto\w+:: (?:\w+\.)*(\w+)$", pages, re.MULTILINE))
    assert set(hf_globalpointer.__all__) <= described


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for link in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8")):
            assert (page.parent / link).exists(), f"{page.name}: {link}"
