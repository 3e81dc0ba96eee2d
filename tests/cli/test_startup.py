"""What the commands and the package do not import, so that they come up at once."""

import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest


SAMPLE = str(files("hf_globalpointer.data") / "samples" / "dev.jsonl")


def modules_after(code: str) -> set[str]:
    """The modules of a new process after some code."""
    told = f"import sys\ntry:\n    {code}\nexcept SystemExit:\n    pass\nprint('modules', *sys.modules)"
    result = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True, cwd="/")
    return set(result.stdout.rpartition("modules ")[2].split())


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["train", "--help"], ["train", "--nonsense"]])
def test_help_and_argument_errors_load_no_library_of_numbers(arguments: list[str]) -> None:
    loaded = modules_after(f"from hf_globalpointer_cli import main; main({arguments!r})")
    assert "hf_globalpointer.cli" in loaded
    assert not loaded & {"numpy", "torch", "transformers"}


@pytest.mark.parametrize(
    "arguments",
    [
        ["predict", "--model", "x"],
        ["evaluate", "--model", "x", "--data", "/nowhere.jsonl"],
        ["train", "--encoder", "x", "--train", "/nowhere.jsonl", "--dev", SAMPLE, "--output", "/nowhere/x"],
        ["tune-thresholds", "--help"],
        ["convert", "--help"],
        ["data", "check", SAMPLE],
        ["data", "check", "/nowhere.jsonl"],
    ],
)
def test_commands_that_need_no_model_do_not_load_transformers(arguments: list[str]) -> None:
    loaded = modules_after(f"from hf_globalpointer_cli import main; main({arguments!r})")
    assert "hf_globalpointer.cli" in loaded
    assert not loaded & {"torch", "transformers", "datasets", "tokenizers", "safetensors", "matplotlib"}


def test_data_convert_does_neither(tmp_path: Path) -> None:
    arguments = ["data", "convert", SAMPLE, str(tmp_path / "dev.jsonl")]
    loaded = modules_after(f"from hf_globalpointer_cli import main; main({arguments!r})")
    assert (tmp_path / "dev.jsonl").exists()
    assert not loaded & {"torch", "transformers", "datasets"}


def test_the_package_loads_little_beside_transformers() -> None:
    stock = modules_after("from transformers import pipeline, AutoModel")
    extra = {name.partition(".")[0] for name in modules_after("import hf_globalpointer") - stock}
    assert extra <= {"hf_globalpointer", "lazy_loader", "transformers", "tabulate", "torch", "ast"}


def test_every_name_can_be_imported() -> None:
    code = (
        "import hf_globalpointer as g, hf_globalpointer.data as d; [getattr(m, n) for m in (g, d) for n in m.__all__]"
    )
    assert "hf_globalpointer.training.trainer" in modules_after(code)


def test_an_interrupt_while_starting_leaves_no_traceback() -> None:
    code = (
        "import builtins, hf_globalpointer_cli as c\n"
        "load = builtins.__import__\n"
        "def interrupted(name, *more):\n"
        "    if name == 'typer':\n"
        "        raise KeyboardInterrupt\n"
        "    return load(name, *more)\n"
        "builtins.__import__ = interrupted\n"
        "c.main(['--help'])"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")
