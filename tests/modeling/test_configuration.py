import json
import math
from pathlib import Path

import pytest
from transformers import AutoConfig, BertConfig, RobertaConfig

from conftest import MODELS, TINY
from hf_globalpointer import BertEfficientGlobalPointerConfig, BertGlobalPointerConfig, EncoderGlobalPointerConfig


CONFIGS = [config_class for config_class, _ in MODELS.values()]


@pytest.mark.parametrize("config_class", CONFIGS)
def test_a_saved_configuration_reads_back_whole(config_class: type, tmp_path: Path) -> None:
    config = config_class(
        labels=["b", "a"], thresholds={"a": 0.3}, score_threshold=1.5, span_loss="bce", max_spans=7, **TINY
    )
    config.save_pretrained(tmp_path)
    again = AutoConfig.from_pretrained(tmp_path)
    assert type(again) is config_class
    assert {**again.to_dict(), "_name_or_path": ""} == {**config.to_dict(), "_name_or_path": ""}
    assert again.id2label == {0: "b", 1: "a"}
    assert again.label2id == {"b": 0, "a": 1}


@pytest.mark.parametrize("config_class", CONFIGS)
def test_two_labels_with_transformers_default_names_survive(config_class: type, tmp_path: Path) -> None:
    config_class(num_labels=2).save_pretrained(tmp_path)
    assert AutoConfig.from_pretrained(tmp_path).num_labels == 2


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"labels": ["x", "y"]}, {0: "x", 1: "y"}),
        ({"id2label": {"0": "x", "1": "y"}}, {0: "x", 1: "y"}),
        ({"label2id": {"x": 0, "y": 1}}, {0: "x", 1: "y"}),
        ({"id2label": {0: "x", 1: "y"}, "label2id": {"y": 1, "x": 0}, "num_labels": 2}, {0: "x", 1: "y"}),
        ({"num_labels": 1}, {0: "LABEL_0"}),
        ({}, {}),
    ],
)
def test_entity_types_in_every_form(given: dict[str, object], expected: dict[int, str]) -> None:
    config = BertEfficientGlobalPointerConfig(**given)
    assert config.id2label == expected
    assert config.label2id == {label: index for index, label in expected.items()}
    assert config.num_labels == len(expected)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"head_size": "x"}, "head_size"),
        ({"head_size": 7}, "even"),
        ({"head_size": 0}, "positive"),
        ({"rope_theta": 0.0}, "rope_theta"),
        ({"rope_theta": math.inf}, "rope_theta"),
        ({"rope_theta": math.nan}, "rope_theta"),
        ({"score_threshold": math.nan}, "score_threshold"),
        ({"score_threshold": -math.inf}, "score_threshold"),
        ({"head_dropout": math.nan}, "head_dropout"),
        ({"transformers_weights": "x.safetensors"}, "names the weight file"),
        ({"labels": []}, "at least one"),
        ({"head_dropout": 1.0}, "head_dropout"),
        ({"max_spans": 0}, "max_spans"),
        ({"span_loss": "focal"}, "span_loss"),
        ({"span_representation": "both"}, "span_representation"),
        ({"labels": ["a", "a"]}, "'a' occurs twice"),
        ({"labels": ["a", ""]}, "non-empty"),
        ({"id2label": {1: "a"}}, "must be 0 to 0"),
        ({"labels": ["a"], "id2label": {0: "a"}}, "once"),
        ({"labels": ["a"], "num_labels": 2}, "`num_labels` is 2, but 1 entity types"),
        ({"labels": "ab"}, "must be a list"),
        ({"id2label": {0: "a", 1: "b"}, "label2id": {"a": 1, "b": 0}}, "not the inverse"),
        ({"labels": ["a"], "thresholds": {"b": 0.5}}, "none of the labels"),
        ({"labels": ["a"], "thresholds": {"a": 1.0}}, r"in \(0, 1\)"),
        ({"type_vocab_size": 1, "mark_capitals": True}, "this one knows none but 0"),
    ],
)
def test_what_no_model_can_be_built_from_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(Exception, match=message):
        BertEfficientGlobalPointerConfig(**wrong)


def test_an_odd_head_is_fine_without_rope() -> None:
    assert BertGlobalPointerConfig(head_size=7, use_rope=False).head_size == 7


def test_a_plain_encoder_starts_a_new_model_in_silence(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    BertConfig(hidden_size=48, num_attention_heads=4, id2label={0: "O", 1: "B", 2: "I"}).save_pretrained(tmp_path)
    config = BertGlobalPointerConfig.from_pretrained(tmp_path, labels=["x"])
    assert (config.model_type, config.hidden_size, config.id2label) == ("bert-global-pointer", 48, {0: "x"})
    assert BertGlobalPointerConfig.from_pretrained(tmp_path).num_labels == 0
    assert not caplog.records


def test_new_labels_replace_those_of_a_checkpoint_as_a_whole(tmp_path: Path) -> None:
    BertGlobalPointerConfig(labels=["x", "y"], thresholds={"x": 0.3}).save_pretrained(tmp_path)
    for given in ({"labels": ["z"]}, {"id2label": {0: "z"}}):
        config = BertGlobalPointerConfig.from_pretrained(tmp_path, **given)
        assert (config.id2label, config.label2id, config.thresholds) == ({0: "z"}, {"z": 0}, None)


def test_thresholds_stay_for_labels_that_stay(tmp_path: Path) -> None:
    BertGlobalPointerConfig(labels=["x", "y"], thresholds={"x": 0.3, "y": 0.4}).save_pretrained(tmp_path)
    config = BertGlobalPointerConfig.from_pretrained(tmp_path, labels=["z", "y"])
    assert config.thresholds == {"y": 0.4}
    assert BertGlobalPointerConfig.from_pretrained(tmp_path, num_labels=2).thresholds is None


def test_labels_changed_in_memory_are_checked_when_saved(tmp_path: Path) -> None:
    config = BertGlobalPointerConfig(labels=["x", "y"])
    config.id2label = {0: "X", 1: "Y"}
    with pytest.raises(Exception, match="not the inverse"):
        config.save_pretrained(tmp_path)


@pytest.mark.parametrize("other", [RobertaConfig(), BertEfficientGlobalPointerConfig(labels=["x"])])
def test_a_checkpoint_of_another_kind_is_refused(other: BertConfig, tmp_path: Path) -> None:
    other.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=f"checkpoint of type '{other.model_type}'"):
        BertGlobalPointerConfig.from_pretrained(tmp_path)


def test_a_whole_model_is_no_encoder() -> None:
    whole = BertGlobalPointerConfig(labels=["x"])
    for encoder in (whole, whole.to_dict()):
        with pytest.raises(ValueError, match="'bert-global-pointer', which is a whole model"):
            EncoderGlobalPointerConfig(encoder_config=encoder, labels=["x"])


def test_the_encoder_of_a_checkpoint_names_no_code_and_no_weights(tmp_path: Path) -> None:
    config = EncoderGlobalPointerConfig(labels=["x"])
    config.encoder_config.auto_map = {"AutoModel": "evil.Evil"}
    config.encoder_config.transformers_weights = "evil.safetensors"
    (tmp_path / "config.json").write_text(config.to_json_string())
    assert "evil" in (tmp_path / "config.json").read_text()
    assert "evil" not in AutoConfig.from_pretrained(tmp_path).to_json_string()


def test_the_file_holds_no_surprises(tmp_path: Path) -> None:
    BertEfficientGlobalPointerConfig(labels=["x"], **TINY).save_pretrained(tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    assert content["model_type"] == "bert-efficient-global-pointer"
    assert not {"custom_pipelines", "auto_map", "labels"} & set(content)
