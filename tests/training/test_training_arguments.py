"""Every field of `TrainingArguments` with a GlobalPointer model: tried here, tried elsewhere, or without a meaning."""

from dataclasses import fields
from typing import Any

import numpy as np
import pytest
import torch
from transformers import EvalPrediction, TrainingArguments

from conftest import LABELS, MakeTrainer
from hf_globalpointer import (
    ComputeSpanMetrics,
    GlobalPointerTrainer,
)


# Fields that are tried together, none at its default.
TRIED: dict[str, dict[str, Any]] = {
    "optimizer": {
        "num_train_epochs": 4.0,
        "max_steps": -1,
        "learning_rate": 1e-3,
        "lr_scheduler_type": "cosine_with_min_lr",
        "lr_scheduler_kwargs": {"min_lr": 1e-6},
        "warmup_steps": 1,
        "optim": "adamw_torch",
        "optim_args": "",
        "weight_decay": 0.1,
        "adam_beta1": 0.8,
        "adam_beta2": 0.99,
        "adam_epsilon": 1e-6,
        "max_grad_norm": 0.5,
        "gradient_accumulation_steps": 2,
        "average_tokens_across_devices": False,
    },
    "precision": {"bf16": True, "use_cpu": True, "bf16_full_eval": True, "torch_empty_cache_steps": 1},
    "memory": {
        "activation_checkpointing": True,
        "activation_checkpointing_kwargs": {"use_reentrant": False},
        "auto_find_batch_size": True,
        "neftune_noise_alpha": 5.0,
        "use_cache": True,
    },
    "logging": {
        "logging_strategy": "steps",
        "logging_steps": 1,
        "logging_first_step": True,
        "log_on_each_node": False,
        "logging_nan_inf_filter": False,
        "include_num_input_tokens_seen": "all",
        "log_level": "error",
        "log_level_replica": "error",
        "disable_tqdm": True,
        "report_to": "none",
        "run_name": "a run",
        "project": "a project",
    },
    "evaluation": {
        "eval_strategy": "steps",
        "eval_steps": 1,
        "eval_delay": 1,
        "per_device_eval_batch_size": 3,
        "eval_on_start": True,
        "eval_accumulation_steps": 1,
    },
    "evaluation without metrics": {"prediction_loss_only": True},
    "evaluation batch by batch": {"batch_eval_metrics": True},
    "evaluation of batches": {"eval_do_concat_batches": False},
    "evaluation by objects": {"eval_use_gather_object": True, "include_for_metrics": ["inputs", "loss"]},
    "saving": {
        "save_only_model": True,
        "save_strategy": "steps",
        "save_steps": 1,
        "save_on_each_node": True,
        "save_total_limit": 1,
        "enable_jit_checkpoint": True,
        "eval_strategy": "steps",
        "eval_steps": 1,
        "load_best_model_at_end": True,
        "metric_for_best_model": "f1",
        "greater_is_better": True,
    },
    "data": {
        "per_device_train_batch_size": 4,
        "ignore_data_skip": True,
        "restore_callback_states_from_checkpoint": True,
        "seed": 7,
        "data_seed": 8,
        "use_cpu": True,
        "accelerator_config": {"split_batches": False},
        "dataloader_drop_last": True,
        "dataloader_num_workers": 1,
        "dataloader_pin_memory": False,
        "dataloader_persistent_workers": True,
        "dataloader_prefetch_factor": 2,
        "dataloader_multiprocessing_context": "fork",
        "dataloader_in_order": False,
        "remove_unused_columns": False,
        "label_names": ["labels"],
        "train_sampling_strategy": "group_by_length",
        "length_column_name": "tokens",
    },
    "the rest": {
        "ddp_find_unused_parameters": False,
        "ddp_bucket_cap_mb": 25,
        "ddp_broadcast_buffers": False,
        "ddp_static_graph": False,
        "ddp_timeout": 900,
        "skip_memory_metrics": False,
        "do_train": True,
        "do_eval": True,
        "do_predict": True,
    },
}
ELSEWHERE = {
    "in every test": {"output_dir"},
    "tests/modeling/test_compile.py": {"torch_compile", "torch_compile_backend", "torch_compile_mode"},
    "tests/distributed": {"fsdp", "fsdp_config", "ddp_backend", "local_rank", "resume_from_checkpoint"},
    "tests/test_hub.py, where the Hub is": {
        *("push_to_hub", "hub_token", "hub_private_repo", "hub_model_id", "hub_strategy", "hub_always_push"),
        "hub_revision",
    },
    "a GPU": {"fp16", "fp16_full_eval", "tf32"},
    "a package that is not installed": {
        *("deepspeed", "parallelism_config", "use_liger_kernel", "liger_kernel_config", "optim_target_modules"),
        *("trackio_space_id", "trackio_bucket_id", "trackio_static_space_id"),
    },
    "under their new names": {"gradient_checkpointing", "gradient_checkpointing_kwargs"},
    "nowhere, as its hooks fail at the masks of BERT itself": {"debug"},
    "would change torch for all other tests": {"full_determinism"},
}
# A span has no class probabilities to smooth.
WITHOUT_MEANING = {"label_smoothing_factor"}


def test_every_field_has_its_place() -> None:
    tried = {name for group in TRIED.values() for name in group}
    elsewhere = set().union(*ELSEWHERE.values())
    assert tried | elsewhere | WITHOUT_MEANING == {field.name for field in fields(TrainingArguments)}
    assert not (tried & elsewhere | elsewhere & WITHOUT_MEANING)


@pytest.mark.parametrize("group", TRIED)
def test_training_and_evaluation_take_it(make_trainer: MakeTrainer, group: str) -> None:
    trainer = make_trainer(**TRIED[group])
    before = {name: weights.clone() for name, weights in trainer.model.state_dict().items()}
    assert np.isfinite(trainer.train().training_loss)
    assert any(not torch.equal(weights, before[name]) for name, weights in trainer.model.state_dict().items())
    metrics = trainer.evaluate()
    assert np.isfinite(metrics["eval_loss"])
    assert ("eval_f1" in metrics) != (group == "evaluation without metrics")


@pytest.mark.parametrize("way", ["batch_eval_metrics", "eval_do_concat_batches", "eval_use_gather_object"])
def test_however_batches_come_the_scores_are_the_same(make_trainer: MakeTrainer, way: str) -> None:
    size = {"per_device_eval_batch_size": 3}
    expected = make_trainer(**size).evaluate()
    assert expected["eval_recall"] < 1  # of missed entities at least
    trainer = make_trainer(**size, **{way: way != "eval_do_concat_batches"})
    for _ in range(2):
        metrics = trainer.evaluate()
        for name in ("loss", "precision", "recall", "f1", f"recall_{LABELS[0]}"):
            assert metrics[f"eval_{name}"] == pytest.approx(expected[f"eval_{name}"], abs=1e-6)


def test_a_sample_of_a_later_batch_is_another_sample() -> None:
    rows = np.array([[[0, 1, 1]], [[0, 2, 2]]])
    metrics = ComputeSpanMetrics(dict(enumerate(LABELS)))
    assert metrics(EvalPrediction(rows, rows), compute_result=False) == {}
    assert metrics(EvalPrediction(rows[::-1], rows))["precision"] == 0.5
    assert metrics(EvalPrediction(rows, rows))["precision"] == 1.0


def test_an_evaluation_that_failed_leaves_nothing_to_the_next() -> None:
    rows = np.array([[[0, 1, 1]]])
    metrics = ComputeSpanMetrics(dict(enumerate(LABELS)))
    with pytest.raises(ValueError, match="Expected span rows"):
        metrics(EvalPrediction(np.zeros((1, 2)), np.array([[[0, 2, 2]]])))
    assert metrics(EvalPrediction(rows, rows))["recall"] == 1.0


def test_smoothing_of_labels_is_refused(make_trainer: MakeTrainer) -> None:
    with pytest.raises(ValueError, match="`label_smoothing_factor` is for class probabilities"):
        make_trainer(GlobalPointerTrainer, label_smoothing_factor=0.1)
