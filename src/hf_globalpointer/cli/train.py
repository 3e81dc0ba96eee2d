"""`hf-globalpointer train`."""

import json
import math
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from ..data import DataError, Example, read_examples
from .common import (
    OVERLAP_HELP,
    InputError,
    Overlap,
    atomic_file,
    check_labels,
    evaluate_examples,
    loading,
    messages,
    say,
)
from .inputs import readable_file
from .resuming import interruptible


# These take seconds to import, and help and mistyped options do without them.
if TYPE_CHECKING:
    from transformers import PreTrainedModel, Trainer

    from ..evaluation.metrics import SpanMetrics


# Evaluate and save every epoch, and end with the best one.
TRAINING_ARGUMENTS: dict[str, Any] = {
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


class Head(StrEnum):
    """The two span heads."""

    efficient = "efficient"
    full = "full"


def train(
    encoder: Annotated[str, typer.Option(help="Pretrained encoder, of any kind: folder or Hub id.")],
    train: Annotated[Path, typer.Option(help="Training examples.", callback=readable_file)],
    dev: Annotated[Path, typer.Option(help="Examples to choose the best epoch by.", callback=readable_file)],
    output: Annotated[Path, typer.Option(help="Folder for the checkpoint; must not exist, or be empty.")],
    test: Annotated[Path | None, typer.Option(help="Examples for a final test.", callback=readable_file)] = None,
    model: Annotated[Head, typer.Option(help="Efficient GlobalPointer, or full GlobalPointer.")] = Head.efficient,
    epochs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Passes over the training examples; else so many that there are 800 steps, from 10 to 40.",
            show_default=False,
        ),
    ] = None,
    encoder_lr: Annotated[
        float | None,
        typer.Option(
            help="Peak learning rate of the encoder; else 5e-5, or 1e-4 if its hidden size is under 512.",
            show_default=False,
        ),
    ] = None,
    head_lr: Annotated[float, typer.Option(help="Peak learning rate of the head.")] = 1e-3,
    batch_size: Annotated[int, typer.Option(min=1, help="Examples in a batch.")] = 16,
    patience: Annotated[
        int | None, typer.Option(min=1, help="Stop after this many epochs without a better dev F1.")
    ] = None,
    joined: Annotated[
        float,
        typer.Option(
            min=0,
            help="Tokens of joined texts for each token of the examples: the examples come again joined to texts as "
            "long as a window, so that the model knows long texts too. 0 for none, and half the time.",
        ),
    ] = 1.0,
    overlap: Annotated[
        Overlap | None,
        typer.Option(help=f"{OVERLAP_HELP} Else as the training examples.", show_default=False),
    ] = None,
    max_length: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Tokens of the windows in which texts are read; else what holds 99 of 100 training examples, and at "
            "least 192.",
        ),
    ] = None,
    word_aligned: Annotated[
        bool, typer.Option("--word-aligned", help="Learn and predict only entities that begin and end where words do.")
    ] = False,
    gradient_accumulation: Annotated[
        int, typer.Option(min=1, help="Batches of a step: for batches that do not fit in memory at once.")
    ] = 1,
    bf16: Annotated[
        bool, typer.Option("--bf16", help="Compute the encoder in bfloat16, where the hardware is faster with it.")
    ] = False,
    report_to: Annotated[
        str, typer.Option(help="Tracker of the training, as Transformers knows it: tensorboard, wandb, ...")
    ] = "none",
    seed: Annotated[int, typer.Option(min=0, max=2**32 - 1, help="Seed of initialization, order and dropout.")] = 42,
    model_id: Annotated[
        str | None, typer.Option(help="Hub id that the model will have, for its card; else the name of the folder.")
    ] = None,
    dataset_name: Annotated[
        str | None, typer.Option(help="Name or Hub id of the data, for the card; else that of the training file.")
    ] = None,
    language: Annotated[
        str | None, typer.Option(help="Language of the texts, for the card: ISO 639 code, such as en.")
    ] = None,
    license: Annotated[
        str | None, typer.Option(help="License of the model, for the card, as the Hub spells it, such as apache-2.0.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --output that was interrupted.")
    ] = False,
) -> None:
    """Fine-tune an encoder, keep the epoch with the best dev F1, and write checkpoint, model card and metrics.json."""
    for option, rate in (("--encoder-lr", encoder_lr), ("--head-lr", head_lr)):
        if rate is not None and not 0 < rate < math.inf:
            raise InputError(f"{option} must be greater than 0, got {rate}.")
    if not 0 <= joined < math.inf:
        raise InputError(f"--joined must be a finite number, 0 or more, got {joined}.")
    if model_id is not None and "/" not in model_id:
        raise InputError(f"--model-id must be a Hub id, such as org/name, got {model_id}.")
    # Of a run that has ended, checkpoints may be left if it was killed while it removed them.
    if resume and (output / "metrics.json").exists():
        raise InputError(f"the run in {output} has ended; there is nothing to resume.")
    splits, labels = _read_splits(train, dev, test)

    import torch
    import transformers
    from transformers import AutoTokenizer, EarlyStoppingCallback, ProgressCallback, TrainingArguments

    from ..data import DataCollatorForGlobalPointer, ExampleDataset, find_span_rules
    from ..evaluation.metrics import ComputeSpanMetrics
    from ..modeling.pipeline_global_pointer_ner import GlobalPointerNerPipeline
    from ..modeling.token_windows import window_size
    from ..registration import TASK, register
    from ..reports.model_card import GlobalPointerModelCard
    from ..training.callbacks import EpochCallback, FiniteLossCallback, ModelCardCallback
    from ..training.optimization import default_encoder_lr, default_epochs, parameter_groups
    from ..training.run_folder import (
        RUN_SETTINGS_NAME,
        begin_run,
        check_output_folder,
        checkpoint_bytes,
        data_digest,
        last_complete_checkpoint,
    )
    from ..training.trainer import GlobalPointerTrainer
    from .epoch_lines import EpochLines
    from .tables import metrics_table

    register()
    transformers.set_seed(seed)
    with loading("encoder", encoder):
        tokenizer = AutoTokenizer.from_pretrained(encoder)
        network = _new_model(encoder, model, labels, word_aligned)
    # The last checkpoint, the best one, one being written, and the model at the end.
    check_output_folder(output, checkpoint_bytes(network, 4), resume)

    config = network.config
    rules = find_span_rules(splits["train"], tokenizer, network.max_positions())
    rules.apply(config)
    if overlap is not None:
        config.overlap = overlap.value
    if max_length is not None:
        config.max_length = max_length
    try:
        window_size(tokenizer, network.max_positions(), config.max_length)
    except ValueError as error:
        raise InputError(str(error)) from error
    say(f"Rules of the data: {rules.summary()}")
    data, reports = {}, {}
    for name, examples in splits.items():
        data[name] = ExampleDataset(examples, tokenizer, config, joined if name == "train" else 0.0, seed)
        reports[name] = data[name].report
        say(f"{name} examples: {len(examples)}; {reports[name].summary()}")
    steps = math.ceil(len(data["train"]) / (batch_size * gradient_accumulation))
    epochs = default_epochs(steps) if epochs is None else epochs
    encoder_lr = default_encoder_lr(config.hidden_size) if encoder_lr is None else encoder_lr
    say(
        f"Epochs: {epochs}, steps in each: {steps}; peak learning rates: {encoder_lr:g} (encoder), {head_lr:g} (head)."
    )

    try:
        card = GlobalPointerModelCard.from_model(
            network,
            model_id or output.resolve().name,
            dataset_name or train.stem,
            data={name: (splits[name], reports[name]) for name in splits},
            language=language,
            license=license,
        )
    except ValueError as error:
        raise InputError(str(error)) from error

    settings = {
        "encoder": encoder,
        "model": model.value,
        "epochs": epochs,
        "encoder_lr": encoder_lr,
        "head_lr": head_lr,
        "batch_size": batch_size,
        "gradient_accumulation": gradient_accumulation,
        "bf16": bf16,
        "patience": patience,
        "joined": joined,
        "overlap": config.overlap,
        "max_span_length": config.max_span_length,
        "max_length": config.max_length,
        "word_aligned": word_aligned,
        "seed": seed,
        **{f"{name}_sha256": data_digest(examples) for name, examples in splits.items()},
    }
    try:
        begin_run(output, settings, resume)
    except ValueError as error:
        raise InputError(str(error)) from error
    checkpoints = output / "checkpoints"
    trainer = GlobalPointerTrainer(
        model=network,
        args=TrainingArguments(
            output_dir=str(checkpoints),
            num_train_epochs=epochs,
            per_device_train_batch_size=batch_size,
            per_device_eval_batch_size=2 * batch_size,
            gradient_accumulation_steps=gradient_accumulation,
            learning_rate=encoder_lr,
            bf16=bf16,
            # Else Transformers looks for a GPU that knows bfloat16.
            use_cpu=not torch.accelerator.is_available(),
            dataloader_pin_memory=torch.cuda.is_available(),
            report_to=report_to,
            seed=seed,
            **TRAINING_ARGUMENTS,
        ),
        data_collator=DataCollatorForGlobalPointer(tokenizer),
        train_dataset=data["train"],
        eval_dataset=data["dev"],
        compute_metrics=ComputeSpanMetrics(config.id2label, unaligned=reports["dev"].unaligned_counts),
        callbacks=[
            ModelCardCallback(card),
            EpochCallback(),
            FiniteLossCallback(),
            *([EarlyStoppingCallback(patience)] if patience else []),
        ],
        optimizers=(torch.optim.AdamW(parameter_groups(network, encoder_lr, head_lr)), None),
    )
    trainer.pop_callback(ProgressCallback)
    lines = EpochLines(list(config.label2id))
    trainer.add_callback(lines)
    go_on = "; the same command with --resume goes on from the last whole epoch"
    with interruptible(lambda: go_on if any(checkpoints.glob("checkpoint-*")) else ""), closing(lines):
        trainer.train(last_complete_checkpoint(checkpoints, network) if resume else None)

    pipe = GlobalPointerNerPipeline(model=trainer.model, tokenizer=tokenizer, task=TASK)
    results = {name: evaluate_examples(pipe, splits[name], 2 * batch_size) for name in splits if name != "train"}
    pipe.save_pretrained(output)
    card.scores = {name: metrics.to_dict() for name, metrics in results.items()}
    card.hyperparameters |= {"learning_rate": f"{encoder_lr:g} (encoder), {head_lr:g} (head)", "patience": patience}
    card.save(output)
    unaligned = {name: len(report.unaligned) for name, report in reports.items()}
    _write_metrics(output / "metrics.json", results, settings, unaligned, trainer)
    shutil.rmtree(checkpoints)
    (output / RUN_SETTINGS_NAME).unlink()
    for name, metrics in results.items():
        Console().print(metrics_table(metrics, name))
    if hint := _undertrained(trainer.state.log_history, epochs):
        say(hint)
    messages.print(f"Checkpoint, model card and metrics.json are in {output}.", markup=False, highlight=False)


def _read_splits(train: Path, dev: Path, test: Path | None) -> tuple[dict[str, list[Example]], list[str]]:
    """All examples by split, read before anything slow begins, and the labels of the training examples in order."""
    paths = {"train": train, "dev": dev} | ({"test": test} if test else {})
    splits = {name: list(read_examples(path)) for name, path in paths.items()}
    labels = sorted({entity.label for example in splits["train"] for entity in example.entities})
    if not labels:
        raise DataError(f"{train}: no example holds an entity; there is nothing to learn.")
    for examples in splits.values():
        check_labels(examples, labels, "the training data's labels")
    if not any(example.entities for example in splits["dev"]):
        raise DataError(f"{dev}: no example holds an entity; there is nothing to choose the best epoch by.")
    return splits, labels


def _new_model(encoder: str, head: Head, labels: list[str], word_aligned: bool) -> "PreTrainedModel":
    """A model with BERT's own class where the encoder is a BERT, and the class for any encoder otherwise."""
    from transformers import AutoConfig

    from ..modeling import modeling_global_pointer as models

    options: dict[str, Any] = {"labels": labels, "word_aligned": word_aligned}
    if AutoConfig.from_pretrained(encoder).model_type == "bert":
        bert = {Head.efficient: models.BertForEfficientGlobalPointer, Head.full: models.BertForGlobalPointer}
        return bert[head].from_pretrained(encoder, **options)
    other = {Head.efficient: models.EncoderForEfficientGlobalPointer, Head.full: models.EncoderForGlobalPointer}
    return other[head].from_encoder_pretrained(encoder, **options)


def _undertrained(history: Sequence[Mapping[str, float]], epochs: int) -> str | None:
    """What to do where the best dev F1 is the last one, and clearly above that of the epochs before the last tenth."""
    scores = [entry["eval_f1"] for entry in history if "eval_f1" in entry]
    earlier = scores[: -math.ceil(len(scores) / 10)]
    if len(scores) < epochs or not earlier or scores[-1] < max(scores) or scores[-1] < max(earlier) + 0.005:
        return None
    return f"Dev F1 was still rising when training ended: more may be had with --epochs {2 * epochs}."


def _write_metrics(
    path: Path,
    results: dict[str, "SpanMetrics"],
    settings: dict[str, Any],
    unaligned: dict[str, int],
    trainer: "Trainer",
) -> None:
    import torch
    import transformers

    content = {
        **{name: metrics.to_dict() for name, metrics in results.items()},
        "unaligned_entities": unaligned,
        "settings": settings,
        "history": [entry for entry in trainer.state.log_history if "eval_f1" in entry],
        "versions": {"transformers": transformers.__version__, "torch": torch.__version__},
    }
    with atomic_file(path) as file:
        json.dump(content, file, indent=2, ensure_ascii=False)
        file.write("\n")
