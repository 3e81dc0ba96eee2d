"""`hf-globalpointer train`."""

import json
import math
import shutil
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import torch
import transformers
import typer
from rich.console import Console
from transformers import AutoTokenizer, EarlyStoppingCallback, Trainer, TrainingArguments

from ..data import DataCollatorForGlobalPointer, DataError, Example, encode_examples, read_examples
from ..metrics import ComputeSpanMetrics, SpanMetrics
from ..modeling.modeling_global_pointer import BertForEfficientGlobalPointer, BertForGlobalPointer
from ..modeling.pipeline_global_pointer_ner import GlobalPointerNerPipeline
from ..modeling.token_windows import max_tokens
from ..optimization import parameter_groups
from ..registration import TASK
from .common import InputError, check_labels, evaluate_examples, loading, messages, metrics_table, whole_file


class Head(StrEnum):
    """The two span heads."""

    efficient = "efficient"
    full = "full"


MODEL_CLASSES = {Head.efficient: BertForEfficientGlobalPointer, Head.full: BertForGlobalPointer}


def train(
    encoder: Annotated[str, typer.Option(help="Pretrained BERT encoder: folder or Hub id.")],
    train: Annotated[Path, typer.Option(help="Training examples (JSON Lines).")],
    dev: Annotated[Path, typer.Option(help="Examples to choose the best epoch by (JSON Lines).")],
    output: Annotated[Path, typer.Option(help="Folder for the checkpoint; must not exist, or be empty.")],
    test: Annotated[Path | None, typer.Option(help="Examples for a final test (JSON Lines).")] = None,
    model: Annotated[Head, typer.Option(help="Efficient GlobalPointer, or full GlobalPointer.")] = Head.efficient,
    epochs: Annotated[int, typer.Option(min=1, help="Passes over the training examples.")] = 10,
    encoder_lr: Annotated[float, typer.Option(help="Peak learning rate of the encoder.")] = 5e-5,
    head_lr: Annotated[float, typer.Option(help="Peak learning rate of the head.")] = 1e-3,
    batch_size: Annotated[int, typer.Option(min=1, help="Examples in a batch.")] = 16,
    patience: Annotated[
        int | None, typer.Option(min=1, help="Stop after this many epochs without a better dev F1.")
    ] = None,
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of initialisation, order and dropout.")] = 42,
) -> None:
    """Fine-tune an encoder, keep the epoch with the best dev F1, and write checkpoint and metrics.json."""
    for option, rate in (("--encoder-lr", encoder_lr), ("--head-lr", head_lr)):
        if not 0 < rate < math.inf:
            raise InputError(f"{option} must be greater than 0, got {rate}.")
    splits, labels = _read_splits(train, dev, test)
    _check_output(output)

    transformers.set_seed(seed)
    with loading("encoder", encoder):
        tokenizer = AutoTokenizer.from_pretrained(encoder)
        network = MODEL_CLASSES[model].from_pretrained(encoder, labels=labels)

    label2id = network.config.label2id
    features, reports = {}, {}
    for name, examples in splits.items():
        features[name], reports[name] = encode_examples(
            examples, tokenizer, label2id, max_tokens(tokenizer, network.config)
        )
        messages.print(f"{name}: {len(examples)} examples, {reports[name].summary()}", markup=False, highlight=False)

    settings = {
        "encoder": encoder,
        "model": model.value,
        "epochs": epochs,
        "encoder_lr": encoder_lr,
        "head_lr": head_lr,
        "batch_size": batch_size,
        "patience": patience,
        "seed": seed,
    }
    checkpoints = output / "checkpoints"
    trainer = Trainer(
        model=network,
        args=_training_arguments(checkpoints, epochs, encoder_lr, batch_size, seed),
        data_collator=DataCollatorForGlobalPointer(tokenizer),
        train_dataset=features["train"],
        eval_dataset=features["dev"],
        compute_metrics=ComputeSpanMetrics(
            network.config.id2label, missed=reports["dev"].unaligned_counts, per_type=False
        ),
        callbacks=[EarlyStoppingCallback(patience)] if patience else None,
        optimizers=(torch.optim.AdamW(parameter_groups(network, encoder_lr, head_lr)), None),
    )
    trainer.train()

    pipe = GlobalPointerNerPipeline(model=trainer.model, tokenizer=tokenizer, task=TASK)
    results = {name: evaluate_examples(pipe, splits[name], 2 * batch_size) for name in splits if name != "train"}
    pipe.save_pretrained(output)
    unaligned = {name: len(report.unaligned) for name, report in reports.items()}
    _write_metrics(output / "metrics.json", results, settings, unaligned, trainer)
    shutil.rmtree(checkpoints)
    for name, metrics in results.items():
        Console().print(metrics_table(metrics, name))
    messages.print(f"Checkpoint and metrics.json are in {output}.", markup=False, highlight=False)


def _read_splits(train: Path, dev: Path, test: Path | None) -> tuple[dict[str, list[Example]], list[str]]:
    """All examples by split, read before anything slow begins, and the labels of the training examples in order."""
    paths = {"train": train, "dev": dev} | ({"test": test} if test else {})
    splits = {name: list(read_examples(path)) for name, path in paths.items()}
    labels = sorted({entity.label for example in splits["train"] for entity in example.entities})
    if not labels:
        raise DataError(f"{train}: no example holds an entity; there is nothing to learn.")
    for examples in splits.values():
        check_labels(examples, labels, "the training data's labels")
    return splits, labels


def _check_output(output: Path) -> None:
    """Fail before training, not after it."""
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise InputError(f"{output} exists and is not an empty folder; choose another --output or remove it.")
    try:
        output.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(dir=output):
            pass
    except OSError as error:
        raise InputError(f"cannot write to {output}: {error.strerror}.") from error


def _training_arguments(
    checkpoints: Path, epochs: int, encoder_lr: float, batch_size: int, seed: int
) -> TrainingArguments:
    """Evaluate and save every epoch, and end with the best one."""
    return TrainingArguments(
        output_dir=str(checkpoints),
        num_train_epochs=epochs,
        per_device_train_batch_size=batch_size,
        per_device_eval_batch_size=2 * batch_size,
        learning_rate=encoder_lr,
        train_sampling_strategy="group_by_length",
        warmup_steps=0.1,
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        save_only_model=True,
        load_best_model_at_end=True,
        metric_for_best_model="f1",
        logging_strategy="epoch",
        dataloader_pin_memory=torch.cuda.is_available(),
        report_to="none",
        seed=seed,
    )


def _write_metrics(
    path: Path, results: dict[str, SpanMetrics], settings: dict[str, Any], unaligned: dict[str, int], trainer: Trainer
) -> None:
    content = {
        **{name: metrics.to_dict() for name, metrics in results.items()},
        "unaligned_entities": unaligned,
        "settings": settings,
        "history": [entry for entry in trainer.state.log_history if "eval_f1" in entry],
        "versions": {"transformers": transformers.__version__, "torch": torch.__version__},
    }
    with whole_file(path) as file:
        json.dump(content, file, indent=2, ensure_ascii=False)
        file.write("\n")
