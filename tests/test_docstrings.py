"""Every example of a docstring is run."""

import ast
import doctest
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import transformers

import hf_globalpointer
from conftest import LABELS, Exported, MakeTrainer, make_char_tokenizer, make_model, write
from hf_globalpointer import encode_examples, read_examples
from hf_globalpointer.modeling import token_windows


SOURCE = Path(hf_globalpointer.__file__).parent
SENTENCE = {"text": "Ada was in Rome", "entities": [{"start": 0, "end": 3, "label": LABELS[1]}]}


def examples() -> Iterator[Any]:
    """The code of each docstring that has some, by where it stands."""
    for path in sorted(SOURCE.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and (text := ast.get_docstring(node)):
                place = f"{path.relative_to(SOURCE)}:{getattr(node, 'name', '')}"
                for code in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
                    yield pytest.param(dedent(code), id=place)


EXAMPLES = list(examples())
INSTEAD = {"epochs=20": "epochs=1", '"my-ner", epochs': '"trained", epochs', '"), "my-ner-onnx")': '"), "exported")'}


@pytest.fixture
def given(
    checkpoint: Path, exported: Exported, make_trainer: MakeTrainer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, object]:
    """What the examples take as given: the names they use, and the files in the working directory."""
    shutil.copytree(checkpoint, tmp_path / "my-ner")
    shutil.copytree(exported[1], tmp_path / "my-ner-onnx")
    for name in ("train", "dev", "test"):
        write(tmp_path / f"{name}.jsonl", [SENTENCE | {"text": f"{SENTENCE['text']} {name}"}])
    monkeypatch.chdir(tmp_path)
    trainer = make_trainer(transformers.Trainer)
    examples = list(read_examples("test.jsonl"))
    model = make_model("efficient")
    batch = trainer.data_collator([trainer.train_dataset[index] for index in range(2)])
    return {
        **{name: getattr(hf_globalpointer, name) for name in hf_globalpointer.__all__},
        **{name: getattr(token_windows, name) for name in ("window_bounds", "owned_sums")},
        "pipeline": transformers.pipeline,
        "recognize": transformers.pipeline("global-pointer-ner", model="my-ner"),
        "examples": examples,
        "report": encode_examples(examples, make_char_tokenizer(), {LABELS[1]: 0})[1],
        "model": model,
        "batch": batch,
        "args": trainer.args,
        "train_dataset": trainer.train_dataset,
    }


@pytest.mark.parametrize("code", EXAMPLES)
def test_example_runs(code: str, given: dict[str, object], encoder: str) -> None:
    # In place of what is on the Hub, what takes long, and what another example has made.
    for words, others in {**INSTEAD, '"bert-base-cased"': repr(encoder)}.items():
        code = code.replace(words, others)
    if ">>>" in code:
        parsed = doctest.DocTestParser().get_doctest(code, given, "example", None, 0)
        assert doctest.DocTestRunner().run(parsed).failed == 0
    else:
        exec(code, given)


def test_there_are_examples_to_run() -> None:
    assert len(EXAMPLES) >= 11
    for words in (*INSTEAD, '"bert-base-cased"'):
        assert any(words in example.values[0] for example in EXAMPLES)
