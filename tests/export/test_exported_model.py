"""An exported model behaves like any other in Transformers' pipeline and Trainer, as far as it can."""

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainingArguments, pipeline

from conftest import Exported, examples_for, random_texts
from hf_globalpointer import (
    ComputeSpanMetrics,
    DataCollatorForGlobalPointer,
    ExampleDataset,
    ExportError,
    GlobalPointerNerPipeline,
    GlobalPointerTrainer,
    Recognizer,
    load_exported,
)


@pytest.fixture(scope="module")
def loaded(exported: Exported) -> GlobalPointerNerPipeline:
    folder = exported[1]
    pipe: Any = pipeline("global-pointer-ner", model=load_exported(folder), tokenizer=str(folder))
    return pipe


def test_the_pipeline_gives_the_same(exported: Exported, loaded: GlobalPointerNerPipeline) -> None:
    texts = random_texts(24)
    for options in ({}, {"threshold": 0.02, "max_length": 20, "overlap": "flat"}):
        expected, found = (pipe(texts, batch_size=4, **options) for pipe in (exported[0], loaded))
        assert sum(map(len, expected)) > 50
        for ours, theirs in zip(found, expected, strict=True):
            places = [[(e["start"], e["end"], e["entity_group"]) for e in each] for each in (ours, theirs)]
            assert places[0] == places[1]
            assert [e["score"] for e in ours] == pytest.approx([e["score"] for e in theirs], abs=1e-4)


def test_the_model_gives_the_same_logits_loss_and_spans(exported: Exported, loaded: GlobalPointerNerPipeline) -> None:
    batch = exported[0].tokenizer(["ab cd", "e"], padding=True, return_tensors="pt")
    labels = torch.tensor([[[0, 1, 2], [1, 3, 3]], [[2, 1, 1], [-100, -100, -100]]])
    for inputs in (dict(batch), {"input_ids": batch["input_ids"][:1]}):
        expected, found = (
            pipe.model(**inputs, labels=labels[: len(inputs["input_ids"])], output_logits=True)
            for pipe in (exported[0], loaded)
        )
        torch.testing.assert_close(found.logits, expected.logits, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(found.loss, expected.loss, rtol=1e-4, atol=1e-4)
        assert torch.equal(found.spans, expected.spans)
    with pytest.raises(ValueError, match=r"takes `input_ids`, .* got inputs_embeds"):
        loaded.model(inputs_embeds=torch.zeros(1, 2, 16))


def test_trainer_evaluates_it(exported: Exported, loaded: GlobalPointerNerPipeline, tmp_path: Path) -> None:
    examples = examples_for(exported[0])[:8]
    f1s = []
    for pipe in (exported[0], loaded):
        data = ExampleDataset(examples, pipe.tokenizer, pipe.model.config)
        trainer = GlobalPointerTrainer(
            model=pipe.model,
            args=TrainingArguments(str(tmp_path), report_to="none", use_cpu=True),
            eval_dataset=data,
            data_collator=DataCollatorForGlobalPointer(pipe.tokenizer),
            compute_metrics=ComputeSpanMetrics(pipe.model.config.id2label),
        )
        f1s.append(trainer.evaluate()["eval_f1"])
    assert f1s[0] == f1s[1] > 0


def test_the_rules_are_those_of_the_export(exported: Exported, loaded: GlobalPointerNerPipeline) -> None:
    assert loaded.model.config.thresholds == exported[0].model.config.thresholds
    assert loaded.labels == exported[0].labels
    assert (loaded.model.device.type, loaded.model.dtype) == ("cpu", torch.float32)


def test_it_is_not_compiled_again(loaded: GlobalPointerNerPipeline) -> None:
    with pytest.raises(ValueError, match="is a compiled graph already"):
        loaded.model.compile(dynamic=True)


def test_saving_copies_the_folder(loaded: GlobalPointerNerPipeline, tmp_path: Path) -> None:
    loaded.save_pretrained(tmp_path / "copy")
    (found, expected) = (recognize("ab cd") for recognize in (Recognizer(tmp_path / "copy"), loaded))
    assert [e["score"] for e in found] == pytest.approx([e["score"] for e in expected])
    with pytest.raises(ValueError, match="is saved as it is: copy or upload"):
        loaded.model.save_pretrained(tmp_path / "copy", with_code=True)


def test_no_exported_model(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"is no exported model: it has no export\.json"):
        load_exported(tmp_path)
    with pytest.raises(ExportError, match="is no folder, and no id"):
        load_exported("no-such-folder")


def test_from_pretrained_of_a_checkpoint_names_the_way(exported: Exported) -> None:
    with pytest.raises(ValueError, match="holds an exported model; load it with `load_exported`"):
        type(exported[0].model).from_pretrained(exported[1])
