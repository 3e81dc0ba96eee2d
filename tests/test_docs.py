import re
import shlex
import shutil
from importlib.metadata import metadata
from importlib.resources import files
from itertools import dropwhile
from pathlib import Path
from unittest.mock import Mock

import pytest

import hf_globalpointer
from hf_globalpointer import Entity, Example, read_examples
from hf_globalpointer.data.formats.reading import FORMATS
from hf_globalpointer.data.formats.writing import WRITERS
from hf_globalpointer_cli import main


ROOT = Path(__file__).parent.parent
SAMPLES = files("hf_globalpointer.data") / "samples"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
GOLD = (Entity(4, 23, "org"), Entity(18, 23, "place"))
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


def other_commands() -> list[list[str]]:
    """The words of each command of another program, without the variables set before it; each once."""
    lines = "\n".join(blocks(page, "bash").replace("\\\n", " ") for page in PAGES).splitlines()
    words = [shlex.split(line, comments=True) for line in dict.fromkeys(lines)]
    words = [list(dropwhile(lambda word: re.match(r"[A-Z_]+=", word), line)) for line in words]
    return [line for line in words if line and line[0] != "hf-globalpointer"]


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


def test_the_python_of_the_demo_runs_as_it_stands(
    checkpoint: Path, samples: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    served = Mock()
    monkeypatch.setattr("hf_globalpointer.demo.app.launch", served)
    run_python("docs/demo.md", {'model="my-ner"': f'model="{checkpoint}"'})
    assert served.call_args.args[0].keys() == {"my-ner"}


def test_no_python_is_left_out() -> None:
    run = {"README.md", *(f"{name}.md" for name in ("pipeline", "training", "export", "tutorial", "demo"))}
    assert {page.name for page in PAGES if blocks(page, "python")} == run


def test_the_commands_of_all_pages_run_as_they_stand(
    encoder: str,
    minilm: str,
    samples: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = commands()
    names = {"train", "predict", "evaluate", "tune-thresholds", "convert", "data", "export", "suggest", "demo"}
    # It would serve until it is interrupted.
    monkeypatch.setattr("hf_globalpointer.demo.app.launch", Mock())
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


def test_other_commands_name_what_there_is() -> None:
    known = {"make", "pip", "accelerate", "torchrun", "python", "hf"}
    lines = other_commands()
    assert {words[0] for words in lines} == known
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    extras = metadata("hf-globalpointer").get_all("Provides-Extra") or []
    for words in lines:
        if words[0] == "make":
            assert words[1] in targets
        for names in re.findall(r"\[([a-z,-]+)\]", " ".join(words)):
            assert set(names.split(",")) <= set(extras)
        for script in (word for word in words if word.endswith(".py")):
            assert (ROOT / script).is_file()


@pytest.mark.parametrize("name", sorted(FORMATS.keys() - {"text", "csv", "tsv"}))
def test_the_examples_of_the_formats_say_what_they_should(name: str, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "reference" / "file-formats.md").read_text(encoding="utf-8")
    heading, content = re.search(rf"### `{name}` \((.*?)\)\n.*?```\w+\n(.*?)```", page, re.DOTALL).groups()
    path = tmp_path / ("data.conll" if name == "conll" else "data.ann" if name == "brat" else "data.jsonl")
    path.write_text(content, encoding="utf-8")
    path.with_suffix(".txt").write_text("The University of Leeds")
    # By what it looks like, too.
    for found in (read_examples(path, name), read_examples(path)):
        (example,) = found
        assert example.text == "The University of Leeds"
        # One tag for each token cannot hold both.
        assert set(example.entities) == set(GOLD[:1] if name == "ner-tags" else GOLD)
    assert ("written" in heading) == (name in WRITERS)


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
