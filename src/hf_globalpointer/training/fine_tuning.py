"""The recipe of `hf-globalpointer train`: a pretrained encoder and labeled texts become a checkpoint with its card."""

import json
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import (
    EarlyStoppingCallback,
    PreTrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    TrainingArguments,
)
from transformers.trainer import DEFAULT_PROGRESS_CALLBACK
from transformers.utils import logging

from ..atomic_files import atomic_path
from ..data import DataCollatorForGlobalPointer, Example, ExampleDataset
from ..evaluation.metrics import ComputeSpanMetrics, SpanMetrics
from ..evaluation.pipeline_metrics import evaluate_examples
from ..modeling.pipeline_global_pointer_ner import GlobalPointerNerPipeline
from ..modeling.span_decoding import Overlap
from ..registration import TASK
from ..reports.model_card import GlobalPointerModelCard
from .callbacks import EpochCallback, FiniteLossCallback, ModelCardCallback
from .epoch_lines import EpochLines
from .fine_tuning_inputs import Examples, encode_splits, load_encoder, read_splits
from .fine_tuning_options import Head, check_options, default_encoder_lr, default_epochs
from .loading import RUN_SETTINGS_NAME, without_file_bars
from .optimization import parameter_groups
from .run_folder import (
    begin_run,
    check_output_folder,
    checkpoint_bytes,
    data_digest,
    last_complete_checkpoint,
)
from .trainer import GlobalPointerTrainer


logger = logging.get_logger(__name__)

CHECKPOINTS_NAME = "checkpoints"
_METRICS_NAME = "metrics.json"
# The last checkpoint, the best one, one being written, and the model at the end.
_NUM_CHECKPOINTS = 4
# Evaluate and save every epoch, and end with the best one.
_TRAINING_ARGUMENTS: dict[str, Any] = {
    "train_sampling_strategy": "group_by_length",
    "warmup_steps": 0.1,
    "eval_strategy": "epoch",
    "save_strategy": "epoch",
    "save_total_limit": 1,
    "load_best_model_at_end": True,
    "metric_for_best_model": "f1",
    "logging_strategy": "epoch",
    "restore_callback_states_from_checkpoint": True,
}


@dataclass(frozen=True)
class FineTuningResult:
    """What [`fine_tune`] made.

    Args:
        pipeline (`GlobalPointerNerPipeline`): The model of the best epoch, ready to use.
        metrics (`dict[str, SpanMetrics]`): Its strict metrics on `"dev"` and, if given, on `"test"`.
    """

    pipeline: GlobalPointerNerPipeline
    metrics: dict[str, SpanMetrics]


def fine_tune(
    encoder: str | os.PathLike[str],
    train: Examples,
    dev: Examples,
    output: str | os.PathLike[str],
    test: Examples | None = None,
    *,
    head: Head = "efficient",
    epochs: int | None = None,
    encoder_lr: float | None = None,
    head_lr: float = 1e-3,
    batch_size: int = 16,
    gradient_accumulation: int = 1,
    patience: int | None = None,
    joined: float = 1.0,
    overlap: Overlap | None = None,
    max_length: int | None = None,
    word_aligned: bool = False,
    config_overrides: Mapping[str, Any] | None = None,
    bf16: bool = False,
    seed: int = 42,
    report_to: str = "none",
    resume: bool = False,
    model_id: str | None = None,
    dataset_name: str | None = None,
    language: str | None = None,
    license: str | None = None,
) -> FineTuningResult:
    """Fine-tune an encoder, keep the epoch with the best dev F1, and write checkpoint, model card and metrics.json.

    Args:
        encoder (`str` or `os.PathLike`): Folder or Hub id of a pretrained encoder, of any kind.
        train (`str`, `os.PathLike` or `Sequence[Example]`): Training examples, or their file.
        dev (`str`, `os.PathLike` or `Sequence[Example]`): Examples to choose the best epoch by.
        output (`str` or `os.PathLike`): Folder for the checkpoint; must not exist, or be empty.
        test (`str`, `os.PathLike` or `Sequence[Example]`, *optional*): Examples for a final test.
        head (`str`): `"efficient"` for Efficient GlobalPointer, `"full"` for GlobalPointer.
        epochs (`int`, *optional*): By default so many that there are 800 steps, from 10 to 40.
        encoder_lr (`float`, *optional*): Peak rate; by default 5e-5, or 1e-4 if the hidden size is under 512.
        head_lr (`float`): Peak learning rate of the head.
        batch_size (`int`): Examples in a batch.
        gradient_accumulation (`int`): Batches of an optimizer step.
        patience (`int`, *optional*): Stop after this many epochs without a better dev F1.
        joined (`float`): Tokens of joined texts for each token of the examples: see [`ExampleDataset`].
        overlap (`str`, *optional*): `"all"`, `"nested"` or `"flat"`; by default as the training examples.
        max_length (`int`, *optional*): Tokens of a window; by default as [`find_span_rules`] says.
        word_aligned (`bool`): Whether to learn only entities that start and end where words do.
        config_overrides (`Mapping[str, Any]`, *optional*):
            Other fields of the model's configuration than their defaults and what was found in the data, such as
            `{"head_size": 32, "max_span_length": None}`.
        bf16 (`bool`): Whether to compute the encoder in bfloat16.
        seed (`int`): Seed of initialization, order and dropout.
        report_to (`str`): Tracker of the training, as Transformers knows it, such as `"tensorboard"`.
        resume (`bool`): Whether to go on with an interrupted run in `output`.
        model_id (`str`, *optional*): Hub id for the card; by default the name of the folder.
        dataset_name (`str`, *optional*): Name or Hub id of the data for the card; by default that of the file.
        language (`str`, *optional*): ISO 639 code for the card.
        license (`str`, *optional*): License for the card, as the Hub spells it.

    Raises:
        ValueError: If an option cannot be used, or is not that of the run to resume.
        StrictDataclassClassValidationError: If `config_overrides` has a value that its field cannot have.
        DataError: If the examples cannot be used.
        OSError: If the encoder cannot be loaded or the output not be written.
        FloatingPointError: If the training diverges.

    Example:
        ```python
        result = fine_tune("bert-base-cased", "train.jsonl", "dev.jsonl", "my-ner", epochs=20)
        result.pipeline("Alfred Nobel was born in Stockholm.")
        result.metrics["dev"].micro.f1
        ```
    """
    output = Path(output)
    options: dict[str, Any] = {
        "head": head,
        "epochs": epochs,
        "encoder_lr": encoder_lr,
        "head_lr": head_lr,
        "batch_size": batch_size,
        "gradient_accumulation": gradient_accumulation,
        "patience": patience,
        "joined": joined,
        "overlap": overlap,
        "max_length": max_length,
        "word_aligned": word_aligned,
        "config_overrides": dict(config_overrides or {}),
        "bf16": bf16,
        "seed": seed,
    }
    check_options(options, report_to, model_id)
    # Of a run that has ended, checkpoints may be left if it was killed while it removed them.
    if resume and (output / _METRICS_NAME).exists():
        raise ValueError(f"the run in {output} has ended; there is nothing to resume.")
    splits = read_splits(train, dev, test)
    check_output_folder(output, resume=resume)

    transformers.set_seed(seed)
    network, tokenizer = load_encoder(str(encoder), splits["train"], options)
    check_output_folder(output, checkpoint_bytes(network, _NUM_CHECKPOINTS), resume)
    data = encode_splits(splits, network, tokenizer, options)
    settings = _settings(str(encoder), options, network.config, splits, len(data["train"]))
    card = GlobalPointerModelCard.from_model(
        network,
        model_id or output.resolve().name,
        dataset_name or (Path(train).stem if isinstance(train, str | os.PathLike) else "train"),
        data={name: (examples, data[name].report) for name, examples in splits.items()},
        language=language,
        license=license,
    )
    begin_run(output, settings, resume)
    trainer = _make_trainer(network, tokenizer, data, settings, card, output / CHECKPOINTS_NAME, report_to)
    _train(trainer, resume)

    pipe = GlobalPointerNerPipeline(model=trainer.model, tokenizer=tokenizer, task=TASK)
    metrics = {name: evaluate_examples(pipe, splits[name], 2 * batch_size) for name in splits if name != "train"}
    _save(output, pipe, card, metrics, settings, data, trainer.state.log_history)
    return FineTuningResult(pipe, metrics)


def _settings(
    encoder: str,
    options: Mapping[str, Any],
    config: PreTrainedConfig,
    splits: Mapping[str, Sequence[Example]],
    num_train: int,
) -> dict[str, Any]:
    """What a run is to be done with, defaults and rules of the data included."""
    steps = math.ceil(num_train / (options["batch_size"] * options["gradient_accumulation"]))
    settings = {
        "encoder": encoder,
        **options,
        "epochs": options["epochs"] or default_epochs(steps),
        "encoder_lr": options["encoder_lr"] or default_encoder_lr(config.hidden_size),
        **{name: getattr(config, name) for name in ("overlap", "max_span_length", "max_length", "mark_capitals")},
        **{f"{name}_sha256": data_digest(examples) for name, examples in splits.items()},
    }
    logger.info(f"Epochs: {settings['epochs']}, steps in each: {steps}; peak learning rates: {_rates(settings)}.")
    return settings


def _make_trainer(
    network: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    data: Mapping[str, ExampleDataset],
    settings: Mapping[str, Any],
    card: GlobalPointerModelCard,
    folder: Path,
    report_to: str,
) -> GlobalPointerTrainer:
    callbacks = [ModelCardCallback(card), EpochCallback(), FiniteLossCallback()]
    if settings["patience"]:
        callbacks.append(EarlyStoppingCallback(settings["patience"]))
    groups = parameter_groups(network, settings["encoder_lr"], settings["head_lr"])
    return GlobalPointerTrainer(
        model=network,
        args=TrainingArguments(
            output_dir=str(folder),
            num_train_epochs=settings["epochs"],
            per_device_train_batch_size=settings["batch_size"],
            per_device_eval_batch_size=2 * settings["batch_size"],
            gradient_accumulation_steps=settings["gradient_accumulation"],
            learning_rate=settings["encoder_lr"],
            bf16=settings["bf16"],
            # Else Transformers looks for a GPU that knows bfloat16.
            use_cpu=not torch.accelerator.is_available(),
            dataloader_pin_memory=torch.cuda.is_available(),
            report_to=report_to,
            seed=settings["seed"],
            **_TRAINING_ARGUMENTS,
        ),
        data_collator=DataCollatorForGlobalPointer(tokenizer),
        train_dataset=data["train"],
        eval_dataset=data["dev"],
        compute_metrics=ComputeSpanMetrics(network.config.id2label, unaligned=data["dev"].report.unaligned_counts),
        callbacks=callbacks,
        optimizers=(torch.optim.AdamW(groups), None),
    )


def _train(trainer: GlobalPointerTrainer, resume: bool) -> None:
    """Train under a table of the epochs, from the last complete checkpoint if the run is resumed."""
    trainer.pop_callback(DEFAULT_PROGRESS_CALLBACK)
    checkpoint = last_complete_checkpoint(trainer.args.output_dir, trainer.model) if resume else None
    with closing(EpochLines(list(trainer.model.config.label2id))) as lines, without_file_bars():
        trainer.add_callback(lines)
        trainer.train(checkpoint)


def _save(
    output: Path,
    pipe: GlobalPointerNerPipeline,
    card: GlobalPointerModelCard,
    metrics: Mapping[str, SpanMetrics],
    settings: Mapping[str, Any],
    data: Mapping[str, ExampleDataset],
    history: Sequence[Mapping[str, float]],
) -> None:
    """Write checkpoint, card and metrics.json, and remove what only a resumed run needs."""
    with without_file_bars():
        pipe.save_pretrained(output)
    card.scores = {name: scores.to_dict() for name, scores in metrics.items()}
    card.hyperparameters |= {"learning_rate": _rates(settings), "patience": settings["patience"]}
    card.save(output)
    content = {
        **card.scores,
        "unaligned_entities": {name: len(features.report.unaligned) for name, features in data.items()},
        "settings": settings,
        "history": [entry for entry in history if "eval_f1" in entry],
        "versions": {"transformers": transformers.__version__, "torch": torch.__version__},
    }
    with atomic_path(output / _METRICS_NAME) as partial:
        partial.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    shutil.rmtree(output / CHECKPOINTS_NAME)
    (output / RUN_SETTINGS_NAME).unlink()
    if hint := undertraining_hint(history, settings["epochs"]):
        logger.info(hint)


def _rates(settings: Mapping[str, Any]) -> str:
    return f"{settings['encoder_lr']:g} (encoder), {settings['head_lr']:g} (head)"


def undertraining_hint(history: Sequence[Mapping[str, float]], epochs: int) -> str | None:
    """What to do where dev F1 is 0 to the end, or ends at its best, clearly above that before the last tenth.

    Args:
        history (`Sequence[Mapping[str, float]]`): The log of the Trainer.
        epochs (`int`): The epochs that the run was to have.
    """
    scores = [entry["eval_f1"] for entry in history if "eval_f1" in entry]
    if len(scores) >= epochs and scores and max(scores) == 0:
        return (
            "Nothing correct ever scored over its threshold: the training was too short for the data. Train for more "
            "epochs, or leave their number to the rule."
        )
    earlier = scores[: -math.ceil(len(scores) / 10)]
    if len(scores) < epochs or not earlier or scores[-1] < max(scores) or scores[-1] < max(earlier) + 0.005:
        return None
    return f"Dev F1 was still rising when training ended: more may be had with {2 * epochs} epochs."
