import subprocess
import sys
from pathlib import Path

import pytest
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForTokenClassification,
    BertConfig,
    BertForTokenClassification,
    PreTrainedTokenizerFast,
    TokenClassificationPipeline,
    pipeline,
)
from transformers.pipelines import PIPELINE_REGISTRY

from conftest import MODELS, TINY, make_model
from hf_globalpointer import GlobalPointerNerPipeline, register


@pytest.mark.parametrize("kind", MODELS)
def test_auto_classes_know_the_models(kind: str) -> None:
    config_class, model_class = MODELS[kind]
    config = AutoConfig.for_model(config_class.model_type, labels=["x"], **TINY)
    assert type(config) is config_class
    assert type(AutoModel.from_config(config)) is model_class
    assert type(AutoModelForTokenClassification.from_config(config)) is model_class


def test_registering_again_changes_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    before = dict(PIPELINE_REGISTRY.supported_tasks["global-pointer-ner"])
    register()
    register()
    assert PIPELINE_REGISTRY.supported_tasks["global-pointer-ner"] == before
    assert before["impl"] is GlobalPointerNerPipeline
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("task", ["ner", "token-classification"])
@pytest.mark.parametrize("kind", MODELS)
def test_the_stock_task_names_the_right_one(
    kind: str, task: str, char_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    model = make_model(kind)
    model.save_pretrained(tmp_path)
    char_tokenizer.save_pretrained(tmp_path)
    for given in ({"model": str(tmp_path)}, {"model": model, "tokenizer": char_tokenizer}):
        with pytest.raises(ValueError, match='give `pipeline` the task "global-pointer-ner"'):
            pipeline(task, **given)


def test_stock_bert_stays_stock(char_tokenizer: PreTrainedTokenizerFast) -> None:
    config = BertConfig(**{name: value for name, value in TINY.items() if name != "head_size"})
    model = AutoModelForTokenClassification.from_config(config)
    assert type(model) is BertForTokenClassification
    recognize = pipeline("ner", model=model, tokenizer=char_tokenizer)
    assert isinstance(recognize, TokenClassificationPipeline)
    assert recognize("ada")


def test_every_name_can_be_imported_without_the_extras() -> None:
    code = (
        "import sys\nextras = 'onnx', 'onnx_ir', 'onnxruntime', 'openvino', 'nncf', 'triton', 'matplotlib', 'gradio'\n"
        "for name in extras:\n    sys.modules[name] = None\n"
        "from hf_globalpointer import *\nprint(export_model.__name__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "export_model\n"


def test_importing_the_package_says_nothing_and_reaches_for_no_network() -> None:
    """It adds nothing to what the libraries that Transformers imports by itself, if they are there, may say."""
    code = "import socket\ndef refuse(*args): raise OSError('network')\nsocket.socket.connect = refuse\nimport "
    ours, stock = (
        subprocess.run([sys.executable, "-c", code + module], capture_output=True, text=True, check=True)
        for module in ("hf_globalpointer", "transformers.trainer_utils")
    )
    # On some processors, bitsandbytes says something where the Trainer is imported.
    for said, known in ((ours.stdout, stock.stdout), (ours.stderr, stock.stderr)):
        assert set(said.splitlines()) <= set(known.splitlines())
