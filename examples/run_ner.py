"""Fine-tune a GlobalPointer model for named-entity recognition with the stock Trainer.

A script to copy and change. Data are JSON Lines, in characters, end exclusive; entities may be nested:

    {"text": "The University of Leeds", "entities": [{"start": 18, "end": 23, "label": "place"}]}

    python examples/run_ner.py --encoder google-bert/bert-base-cased --train_file train.jsonl --dev_file dev.jsonl \
        --output_dir my-ner --num_train_epochs 10 --learning_rate 3e-5

Every option of `transformers.TrainingArguments` is an option here too. Started by `accelerate launch` or `torchrun`,
the script trains on many devices; after a crash, the same command with `--resume` goes on from the last checkpoint.
"""

import sys
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from transformers import AutoTokenizer, EarlyStoppingCallback, HfArgumentParser, TrainingArguments, set_seed

from hf_globalpointer import (
    ComputeSpanMetrics,
    DataCollatorForGlobalPointer,
    EncoderForEfficientGlobalPointer,
    EncoderForGlobalPointer,
    EpochCallback,
    ExampleDataset,
    FiniteLossCallback,
    GlobalPointerModelCard,
    GlobalPointerTrainer,
    ModelCardCallback,
    begin_run,
    check_output_folder,
    checkpoint_bytes,
    data_digest,
    find_span_rules,
    freeze_unused,
    last_complete_checkpoint,
    parameter_groups,
    read_examples,
)


@dataclass
class Arguments:
    """What this script needs beyond the training arguments."""

    encoder: str = field(metadata={"help": "Pretrained encoder, of any kind: folder or Hub id."})
    train_file: str = field(metadata={"help": "Training examples."})
    dev_file: str = field(metadata={"help": "Examples to choose the best epoch by."})
    test_file: str | None = field(default=None, metadata={"help": "Examples for a final test."})
    head: str = field(default="efficient", metadata={"help": "Which head.", "choices": ["efficient", "full"]})
    head_learning_rate: float = field(default=1e-3, metadata={"help": "Peak learning rate of the head."})
    joined: float = field(default=1.0, metadata={"help": "Tokens of joined texts for each of the examples' own."})
    patience: int | None = field(default=None, metadata={"help": "Stop after so many epochs without a better F1."})
    resume: bool = field(default=False, metadata={"help": "Go on with the run in the output folder."})


# The training arguments that a run must be resumed with.
WEIGHTS_DEPEND_ON = (
    *("learning_rate", "weight_decay", "warmup_steps", "num_train_epochs", "max_steps", "lr_scheduler_type"),
    *(
        "per_device_train_batch_size",
        "gradient_accumulation_steps",
        "train_sampling_strategy",
        "max_grad_norm",
        "seed",
    ),
)


@dataclass
class NerTrainingArguments(TrainingArguments):
    """The training arguments, with defaults that suit named-entity recognition."""

    num_train_epochs: float = 10
    learning_rate: float = 5e-5
    weight_decay: float = 0.01
    warmup_steps: float = 0.1
    per_device_train_batch_size: int = 16
    per_device_eval_batch_size: int = 32
    train_sampling_strategy: str = "group_by_length"
    eval_strategy: str = "epoch"
    save_strategy: str = "epoch"
    logging_strategy: str = "epoch"
    save_total_limit: int | None = 1
    load_best_model_at_end: bool = True
    metric_for_best_model: str | None = "f1"
    report_to: str = "none"
    ddp_find_unused_parameters: bool | None = False
    restore_callback_states_from_checkpoint: bool = True


def main() -> None:
    """Read, train, evaluate, save."""
    parser = HfArgumentParser((Arguments, NerTrainingArguments))
    args, training_args = parser.parse_args_into_dataclasses(sys.argv[1:])
    last_results = Path(training_args.output_dir) / ("test_results.json" if args.test_file else "dev_results.json")
    if args.resume and last_results.exists():
        raise SystemExit(f"The run in {training_args.output_dir} has ended; there is nothing to resume.")
    set_seed(training_args.seed)

    files = {"train": args.train_file, "dev": args.dev_file, "test": args.test_file}
    examples = {split: list(read_examples(file)) for split, file in files.items() if file}
    labels = sorted({entity.label for example in examples["train"] for entity in example.entities})

    tokenizer = AutoTokenizer.from_pretrained(args.encoder)
    model_class = {"efficient": EncoderForEfficientGlobalPointer, "full": EncoderForGlobalPointer}[args.head]
    model = model_class.from_encoder_pretrained(args.encoder, labels=labels)
    # Processes would wait for the gradients of what the loss does not depend on.
    freeze_unused(model)
    config = model.config
    # Which entities may overlap, how long they are, in what windows texts are read, and whether capitals are marked:
    # as the training data have it.
    rules = find_span_rules(examples["train"], tokenizer, model.max_positions())
    rules.apply(config)
    if training_args.should_save:
        # The last checkpoint, the best one, one being written, and the model at the end.
        needed = checkpoint_bytes(model, (training_args.save_total_limit or 1) + 3)
        check_output_folder(training_args.output_dir, needed, resume=args.resume)
        # What a run that is resumed must have begun with.
        settings = {name: value for name, value in asdict(args).items() if name not in ("resume", "patience")}
        settings |= {"labels": labels, "mark_capitals": config.mark_capitals}
        settings |= {name: getattr(training_args, name) for name in WEIGHTS_DEPEND_ON}
        settings |= {f"{split}_sha256": data_digest(texts) for split, texts in examples.items()}
        begin_run(training_args.output_dir, settings, resume=args.resume)

    if training_args.should_log:
        print(f"Rules of the data: {rules.summary()}")
    data, metrics = {}, {}
    for split, texts in examples.items():
        # For training also joined to longer texts, so that the model knows those too.
        joined = args.joined if split == "train" else 0.0
        data[split] = ExampleDataset(texts, tokenizer, config, joined, training_args.seed)
        if training_args.should_log:
            print(f"{split}: {len(texts)} examples, {data[split].report.summary()}")
        # Entities that no tokens spell are not in the labels; the metrics count them as missed.
        metrics[split] = ComputeSpanMetrics(config.id2label, unaligned=data[split].report.unaligned_counts)

    # Filled in and written at every save, as README.md of the checkpoint.
    card = GlobalPointerModelCard.from_model(
        model,
        Path(training_args.output_dir).resolve().name,
        Path(args.train_file).stem,
        data={split: (texts, data[split].report) for split, texts in examples.items()},
    )
    callbacks = [ModelCardCallback(card), EpochCallback(), FiniteLossCallback()]
    if args.patience:
        callbacks.append(EarlyStoppingCallback(args.patience))

    groups = parameter_groups(
        model, training_args.learning_rate, args.head_learning_rate, weight_decay=training_args.weight_decay
    )
    trainer = GlobalPointerTrainer(
        model=model,
        args=training_args,
        train_dataset=data["train"],
        eval_dataset=data["dev"],
        data_collator=DataCollatorForGlobalPointer(tokenizer),
        processing_class=tokenizer,
        compute_metrics=metrics["dev"],
        callbacks=callbacks,
        optimizers=(torch.optim.AdamW(groups), None),
    )
    trainer.train(last_complete_checkpoint(training_args.output_dir, model) if args.resume else None)
    trainer.save_model()

    trainer.save_metrics("dev", trainer.evaluate())
    if "test" in data:
        trainer.compute_metrics = metrics["test"]
        results = trainer.evaluate(data["test"], metric_key_prefix="test")
        trainer.save_metrics("test", results)
        trainer.log_metrics("test", results)
        card.scores["test"] = {name.removeprefix("test_"): value for name, value in results.items()}
        if training_args.should_save:
            card.save(training_args.output_dir)
    if training_args.push_to_hub:
        trainer.push_to_hub()


if __name__ == "__main__":
    main()
