"""What loading a checkpoint keeps, changes, says and refuses."""

import json
import logging
import os
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
import torch
from huggingface_hub.errors import StrictDataclassClassValidationError
from safetensors.torch import save_file
from transformers import (
    AutoConfig,
    AutoModelForTokenClassification,
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    PreTrainedTokenizerFast,
    pipeline,
)
from transformers.utils import logging as transformers_logging

from conftest import LABELS, MODELS, TINY, make_model
from hf_globalpointer import BertForEfficientGlobalPointer, GlobalPointerNerPipeline


IDS = torch.arange(5, 17)[None]


def saved(folder: Path, kind: str = "efficient", **fields: Any) -> torch.nn.Module:
    """A tiny model, saved in a folder."""
    model = make_model(kind, **fields)
    model.save_pretrained(folder)
    return model


def change_config(folder: Path, **fields: Any) -> None:
    """Overwrite fields of a `config.json`, as whoever made the checkpoint might have."""
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """What is logged, that of Transformers included."""
    transformers_logging.enable_propagation()
    caplog.set_level(logging.WARNING)
    yield caplog
    transformers_logging.disable_propagation()


# ---------------------------------------------------------------------------------------------------------------------
# Starting from a plain encoder, and changing the entity types


@pytest.mark.parametrize("encoder_class", [BertModel, BertForMaskedLM])
@pytest.mark.parametrize("kind", MODELS)
def test_the_load_report_of_a_new_model_names_its_head_only(
    kind: str, encoder_class: type[BertModel], tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    encoder_class(BertConfig(**{k: v for k, v in TINY.items() if k != "head_size"})).save_pretrained(tmp_path)
    MODELS[kind][1].from_pretrained(tmp_path, id2label={0: "a", 1: "b"})
    report = [record.getMessage() for record in log.records]
    assert len(report) == 1
    rows = [line.split("|")[0].strip() for line in report[0].splitlines() if "MISSING " in line]
    layers = {"full": ["dense"], "efficient": ["dense_1", "dense_2"]}[kind]
    assert sorted(rows) == sorted(f"classifier.{layer}.{part}" for layer in layers for part in ("weight", "bias"))
    assert "UNEXPECTED" not in report[0]
    assert "bert." not in report[0]


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("by", ["labels", "id2label", "config", "auto class", "config folder"])
def test_known_types_keep_their_weights_and_new_ones_are_named(
    kind: str, by: str, tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    model = saved(tmp_path, kind, thresholds={"date": 0.3, "person": 0.6})
    labels = ["place", "role", "date"]  # one new, one gone, the others in another order, and as many as before
    if by == "labels":
        changed = type(model).from_pretrained(tmp_path, labels=labels)
    elif by == "id2label":
        changed = type(model).from_pretrained(tmp_path, id2label=dict(enumerate(labels)))
    elif by == "config":
        changed = type(model).from_pretrained(tmp_path, config=AutoConfig.from_pretrained(tmp_path, labels=labels))
    elif by == "auto class":
        changed = AutoModelForTokenClassification.from_pretrained(tmp_path, labels=labels)
    else:
        (tmp_path / "other").mkdir()
        AutoConfig.from_pretrained(tmp_path, labels=labels).save_pretrained(tmp_path / "other")
        changed = type(model).from_pretrained(tmp_path, config=tmp_path / "other", labels=labels)
    before, after = model(IDS).logits, changed(IDS).logits
    torch.testing.assert_close(after[:, 0], before[:, 2])
    torch.testing.assert_close(after[:, 2], before[:, 0])
    assert all(not torch.allclose(after[:, 1], before[:, old]) for old in range(3))
    assert changed.config.id2label == dict(enumerate(labels))
    assert changed.config.thresholds == {"date": 0.3}
    (message,) = [record.getMessage() for record in log.records]
    assert "reused: ['place', 'date']; new, to be trained: ['role']; dropped: ['person']" in message
    changed.save_pretrained(tmp_path / "changed")
    assert torch.equal(AutoModelForTokenClassification.from_pretrained(tmp_path / "changed")(IDS).logits, after)


@pytest.mark.parametrize("kind", MODELS)
def test_a_checkpoint_without_its_head_makes_no_pipeline(
    kind: str, tmp_path: Path, char_tokenizer: PreTrainedTokenizerFast
) -> None:
    model = saved(tmp_path, kind)
    char_tokenizer.save_pretrained(tmp_path)
    assert pipeline("global-pointer-ner", model=str(tmp_path)) is not None
    weights = model.state_dict()
    missing = [name for name in weights if name.startswith("classifier.")][-1]
    del weights[missing]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(ValueError, match=rf"lacks weights of its span head \({missing}\)"):
        pipeline("global-pointer-ner", model=str(tmp_path))


def test_a_new_head_on_a_plain_encoder_is_to_be_trained_and_used(
    tmp_path: Path, char_tokenizer: PreTrainedTokenizerFast
) -> None:
    BertModel(BertConfig(**{k: v for k, v in TINY.items() if k != "head_size"})).save_pretrained(tmp_path)
    model = BertForEfficientGlobalPointer.from_pretrained(tmp_path, labels=LABELS)
    assert pipeline("global-pointer-ner", model=model, tokenizer=char_tokenizer) is not None


def test_the_same_labels_load_without_a_word(tmp_path: Path, log: pytest.LogCaptureFixture) -> None:
    model = saved(tmp_path)
    # The numbers say which is which, not the order in the file.
    change_config(tmp_path, label2id={"place": 2, "date": 0, "person": 1})
    loaded, info = type(model).from_pretrained(tmp_path, labels=LABELS, output_loading_info=True)
    assert torch.equal(loaded(IDS).logits, model(IDS).logits)
    assert not any(info.values())
    assert not log.records


def test_the_order_of_a_configuration_elsewhere_is_no_order_of_the_weights(tmp_path: Path) -> None:
    model = saved(tmp_path / "model")
    saved(tmp_path / "other", labels=["place", "date", "person"])
    loaded = type(model).from_pretrained(tmp_path / "model", config=tmp_path / "other")
    assert list(loaded.config.label2id) == ["place", "date", "person"]
    torch.testing.assert_close(loaded(IDS).logits, model(IDS).logits[:, [2, 0, 1]])


def test_a_checkpoint_that_has_its_labels_in_one_map_only(tmp_path: Path) -> None:
    model = saved(tmp_path)
    change_config(tmp_path, id2label=None)
    loaded = type(model).from_pretrained(tmp_path, labels=["place", "date", "person"])
    torch.testing.assert_close(loaded(IDS).logits, model(IDS).logits[:, [2, 0, 1]])


def test_thresholds_stay_with_their_labels(tmp_path: Path) -> None:
    model = saved(tmp_path, thresholds={"date": 0.3, "person": 0.6})
    same = type(model).from_pretrained(tmp_path, labels=LABELS)
    assert same.config.thresholds == {"date": 0.3, "person": 0.6}
    changed = type(model).from_pretrained(tmp_path, labels=["date", "z"])
    model.set_labels(["date", "z"])
    assert changed.config.thresholds == model.config.thresholds == {"date": 0.3}


def test_more_types_with_loading_info(tmp_path: Path) -> None:
    model = saved(tmp_path)
    changed, info = type(model).from_pretrained(tmp_path, labels=[*LABELS, "x", "y"], output_loading_info=True)
    assert not any(info.values())
    torch.testing.assert_close(changed(IDS).logits[:, :3], model(IDS).logits)
    changed.train()(IDS, labels=torch.tensor([[[4, 1, 2]]])).loss.backward()


def test_other_fields_and_options_go_with_changed_labels(tmp_path: Path) -> None:
    model = saved(tmp_path)
    options = {"head_dropout": 0.4, "dtype": torch.bfloat16, "attn_implementation": "eager", "device_map": "cpu"}
    changed = type(model).from_pretrained(tmp_path, labels=["place", "x"], **options)
    assert changed.config.head_dropout == changed.classifier.dropout.p == 0.4
    assert {parameter.dtype for parameter in changed.parameters()} == {torch.bfloat16}
    assert changed.config._attn_implementation == "eager"
    plain = tmp_path / "plain"
    model.bert.save_pretrained(plain)
    change_config(plain, model_type="bert")
    new = type(model).from_pretrained(plain, labels=["place", "x"], **options)
    assert (new.config.head_dropout, new.dtype, new.config._attn_implementation) == (0.4, torch.bfloat16, "eager")


def test_wrong_labels_change_nothing() -> None:
    model = make_model("full")
    before = model(IDS).logits
    with pytest.raises(StrictDataclassClassValidationError, match="occurs twice"):
        model.set_labels(["a", "a"])
    with pytest.raises(ValueError, match="must name at least one entity type"):
        model.set_labels([])
    with pytest.raises(
        ValueError, match="must be a list of entity types, whose order tells their ids, got the str 'ab'"
    ):
        model.set_labels("ab")
    assert torch.equal(model(IDS).logits, before)
    assert list(model.config.label2id) == LABELS


# ---------------------------------------------------------------------------------------------------------------------
# Code in a checkpoint


SCRIPT = """
import sys
sys.modules["hf_globalpointer"] = None  # as if it were not installed
import json, torch
from transformers import AutoModelForTokenClassification, pipeline
for folder in sys.argv[1:]:
    model = AutoModelForTokenClassification.from_pretrained(folder, trust_remote_code=True)
    loss = model.train()(torch.arange(5, 17)[None], labels=torch.tensor([[[0, 1, 2]]])).loss
    loss.backward()
    recognize = pipeline("global-pointer-ner", model=folder, trust_remote_code=True)
    print(json.dumps([type(model).__module__, loss.item(), recognize("ada met bob.")]))
"""


def test_a_checkpoint_with_code_loads_without_the_package(
    char_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """Two of them in one process, whose operators must not get in each other's way."""
    expected = []
    for kind in MODELS:
        model = make_model(kind, head_dropout=0.0, hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
        pipe = GlobalPointerNerPipeline(model=model, tokenizer=char_tokenizer, task="x")
        pipe.save_pretrained(tmp_path / kind, with_code=True)
        expected.append(
            [model.train()(IDS, labels=torch.tensor([[[0, 1, 2]]])).loss.item(), pipe("ada met bob.")],
        )
        assert "auto_map" not in vars(model.config)
    environment = {**os.environ, "HF_MODULES_CACHE": str(tmp_path / "modules"), "OMP_NUM_THREADS": "1"}
    run = subprocess.run(
        [sys.executable, "-c", SCRIPT, *(str(tmp_path / kind) for kind in MODELS)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    for line, (loss, entities) in zip(run.stdout.splitlines(), expected, strict=True):
        module, found_loss, found = json.loads(line)
        assert module.startswith("transformers_modules.")
        assert found_loss == pytest.approx(loss, rel=1e-5)
        assert found == [pytest.approx(entity, abs=1e-5) for entity in entities]


def test_with_the_package_no_code_of_a_checkpoint_runs_nor_is_asked_for(
    char_tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    model = make_model("efficient")
    pipe = GlobalPointerNerPipeline(model=model, tokenizer=char_tokenizer, task="x")
    pipe.save_pretrained(tmp_path, with_code=True)
    for module in tmp_path.glob("*.py"):
        module.write_text("raise SystemExit('code of the checkpoint ran')")
    for trust in (None, True):
        options = {} if trust is None else {"trust_remote_code": trust}
        loaded = AutoModelForTokenClassification.from_pretrained(tmp_path, **options)
        assert type(loaded) is BertForEfficientGlobalPointer
        assert pipeline("global-pointer-ner", model=str(tmp_path), **options)("ada met bob.") == pipe("ada met bob.")
    # Nor does it leave a trace in what is saved next, where there would be no code to point to.
    loaded.save_pretrained(tmp_path / "next")
    written = json.loads((tmp_path / "next" / "config.json").read_text())
    assert not {"auto_map", "custom_pipelines"} & written.keys()
    assert not list((tmp_path / "next").glob("*.py"))


def test_the_code_is_pushed_with_the_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub = Mock()
    hub.create_repo.return_value.repo_id = "me/ner"
    monkeypatch.setattr("transformers.utils.hub.hf_api", lambda: hub)
    monkeypatch.setattr("transformers.modeling_utils.hf_api", lambda: hub)
    (tmp_path / "own.py").touch()  # what lay there before is not pushed
    make_model("full").save_pretrained(tmp_path, with_code=True, push_to_hub=True)
    pushed = {operation.path_in_repo for operation in hub.create_commit.call_args.kwargs["operations"]}
    code = {module.name for module in tmp_path.glob("*.py")} - {"own.py"}
    assert "modeling_global_pointer.py" in code
    assert pushed == code | {"config.json", "model.safetensors", "README.md"}


def test_only_the_main_process_writes_code(tmp_path: Path) -> None:
    make_model("full").save_pretrained(tmp_path, with_code=True, is_main_process=False)
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------------------------------------------------------
# What is refused


class _Malicious:
    """Unpickling it writes a file."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.write_text, (Path(self.path), "ran")


def test_a_pickle_is_refused_and_not_opened(tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    trace = tmp_path / "trace"
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(_Malicious(trace)))
    for options in ({}, {"use_safetensors": True}, {"use_safetensors": None}):
        with pytest.raises(OSError, match=r"model\.safetensors"):
            AutoModelForTokenClassification.from_pretrained(tmp_path, **options)
    with pytest.raises(ValueError, match="safetensors only"):
        AutoModelForTokenClassification.from_pretrained(tmp_path, use_safetensors=False)
    assert not trace.exists()


@pytest.mark.parametrize("shard", ["../outside.safetensors", "/tmp/x.safetensors", "..\\x.safetensors", "weights.bin"])
def test_an_index_may_not_name_files_elsewhere(shard: str, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    model = saved(folder)
    save_file(model.state_dict(), tmp_path / "outside.safetensors")
    (folder / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": dict.fromkeys(model.state_dict(), shard)}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match="names the file"):
        AutoModelForTokenClassification.from_pretrained(folder)


@pytest.mark.parametrize(
    ("index", "error"),
    [("{}", "KeyError"), ("[]", "TypeError"), ('{"weight_map": {"a": 5}}', "AttributeError"), ("{", "JSON")],
)
def test_a_malformed_index_is_one_clear_error(index: str, error: str, tmp_path: Path) -> None:
    saved(tmp_path)
    (tmp_path / "model.safetensors.index.json").write_text(index)
    with pytest.raises(ValueError, match=rf"index.json of .* does not map tensors to files in `weight_map`: {error}"):
        AutoModelForTokenClassification.from_pretrained(tmp_path)


@pytest.mark.parametrize("file", ["evil.safetensors.index.json", "evil.safetensors"])
def test_a_configuration_may_not_name_weights(file: str, tmp_path: Path) -> None:
    folder = tmp_path / "checkpoint"
    model = saved(folder)
    save_file(model.state_dict(), tmp_path / "outside.safetensors")
    index = {"metadata": {}, "weight_map": dict.fromkeys(model.state_dict(), "../outside.safetensors")}
    (folder / "evil.safetensors.index.json").write_text(json.dumps(index))
    saved(tmp_path / "good")
    change_config(folder, transformers_weights=file)
    for load in (AutoModelForTokenClassification.from_pretrained, type(model).from_pretrained):
        with pytest.raises(ValueError, match=f"names the weight file '{file}' as `transformers_weights`"):
            load(folder)
    with pytest.raises(ValueError, match="names the weight file"):
        type(model).from_pretrained(tmp_path / "good", config=folder)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"head_size": -64}, "head_size"),
        ({"head_size": 10**12}, "mismatched"),
        ({"head_size": "64"}, "head_size"),
        ({"num_labels": 10**9, "id2label": None, "label2id": None}, "number of entity types"),
        ({"num_labels": -1, "id2label": None, "label2id": None}, "number of entity types"),
        ({"id2label": {"0": "a", "7": "b"}, "label2id": {"a": 0, "b": 7}}, "keys of `id2label`"),
        ({"id2label": {"0": "a", "1": "a"}}, "label2id"),
        ({"thresholds": {"date": 7.0}}, "thresholds"),
        ({"max_spans": 0}, "max_spans"),
        ({"span_loss": "none"}, "span_loss"),
        ({"rope_theta": 0}, "rope_theta"),
        ({"model_type": "roberta"}, "roberta"),
    ],
)
def test_an_absurd_configuration_is_refused(fields: dict[str, Any], message: str, tmp_path: Path) -> None:
    model = saved(tmp_path)
    change_config(tmp_path, **fields)
    with pytest.raises(Exception, match=message):
        type(model).from_pretrained(tmp_path)


def test_weights_of_another_size_are_refused(tmp_path: Path) -> None:
    model = saved(tmp_path)
    change_config(tmp_path, head_size=12)
    with pytest.raises(RuntimeError, match="size"):
        type(model).from_pretrained(tmp_path)


def test_a_malicious_auto_map_runs_nothing(char_tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    saved(tmp_path)
    char_tokenizer.save_pretrained(tmp_path)
    trace = tmp_path / "trace"
    (tmp_path / "evil.py").write_text(f"open({str(trace)!r}, 'w').close()")
    hooks = ("AutoConfig", "AutoModel", "AutoModelForTokenClassification", "AutoTokenizer")
    task = {"impl": "evil.Evil", "pt": ["AutoModelForTokenClassification"]}
    change_config(tmp_path, auto_map=dict.fromkeys(hooks, "evil.Evil"), custom_pipelines={"global-pointer-ner": task})
    assert type(AutoModelForTokenClassification.from_pretrained(tmp_path)) is BertForEfficientGlobalPointer
    pipeline("global-pointer-ner", model=str(tmp_path))("ada")
    tokenizer_config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    tokenizer_config["auto_map"] = {"AutoTokenizer": ["evil.Evil", "evil.Evil"]}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(tokenizer_config))
    AutoTokenizer.from_pretrained(tmp_path)
    assert not trace.exists()
