"""Fine-tune a GlobalPointer model for named-entity recognition in a loop of your own, with Accelerate.

A script to copy and change. It takes the data of run_ner.py and does what that does, in plain sight. After a crash,
the same command with `--resume` goes on from the last complete epoch.

    accelerate launch examples/run_ner_no_trainer.py --encoder google-bert/bert-base-cased --train_file train.jsonl \
        --dev_file dev.jsonl --output_dir my-ner --num_train_epochs 10 --learning_rate 3e-5
"""

import argparse
import json
import math
import shutil
from contextlib import nullcontext
from functools import reduce
from itertools import islice
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, set_seed
from torch.utils.data import DataLoader
from tqdm.auto import tqdm
from transformers import AutoTokenizer, EvalPrediction, get_linear_schedule_with_warmup
from transformers.trainer_pt_utils import nested_concat

from hf_globalpointer import (
    ComputeSpanMetrics,
    DataCollatorForGlobalPointer,
    EncoderForEfficientGlobalPointer,
    EncoderForGlobalPointer,
    ExampleDataset,
    GlobalPointerModelCard,
    begin_run,
    check_output_folder,
    checkpoint_bytes,
    data_digest,
    fgm_perturbation,
    find_span_rules,
    freeze_unused,
    parameter_groups,
    read_examples,
)


def parse_arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description="Fine-tune a GlobalPointer model with Accelerate.")
    parser.add_argument("--encoder", required=True, help="Pretrained encoder, of any kind: folder or Hub id.")
    parser.add_argument("--train_file", required=True, help="Training examples.")
    parser.add_argument("--dev_file", required=True, help="Examples to choose the best epoch by.")
    parser.add_argument("--test_file", help="Examples for a final test.")
    parser.add_argument("--output_dir", required=True, type=Path)
    parser.add_argument("--head", default="efficient", choices=["efficient", "full"], help="Which head.")
    parser.add_argument("--num_train_epochs", type=int, default=10)
    parser.add_argument("--learning_rate", type=float, default=5e-5, help="Peak learning rate of the encoder.")
    parser.add_argument("--head_learning_rate", type=float, default=1e-3, help="Peak learning rate of the head.")
    parser.add_argument("--per_device_train_batch_size", type=int, default=16)
    parser.add_argument("--per_device_eval_batch_size", type=int, default=32)
    parser.add_argument("--gradient_accumulation_steps", type=int, default=1)
    parser.add_argument("--joined", type=float, default=1.0, help="Tokens of joined texts for each of the examples'.")
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--fgm", action="store_true", help="Adversarial training: better, and half as fast.")
    parser.add_argument("--resume", action="store_true", help="Go on with the run in the output folder.")
    parser.add_argument("--report_to", help="A tracker of Accelerate, such as tensorboard.")
    return parser.parse_args()


def evaluate(
    accelerator: Accelerator, model: torch.nn.Module, loader: DataLoader, metrics: ComputeSpanMetrics
) -> dict[str, float]:
    """Strict scores over the samples of all processes."""
    model.eval()
    results = []
    for batch in loader:
        with torch.no_grad():
            spans = model(**batch).spans
        # A row for each span: processes, like batches, differ in how many they have.
        pair = accelerator.pad_across_processes((spans, batch["labels"]), dim=1, pad_index=-100)
        results.append([tensor.cpu().numpy() for tensor in accelerator.gather_for_metrics(pair)])
    return metrics(EvalPrediction(*reduce(nested_concat, results)))


def save_checkpoint(accelerator: Accelerator, folder: Path, progress: dict[str, float]) -> None:
    """Save all that the run needs to go on; a checkpoint gets its name only when it is whole."""
    partial = folder / "checkpoint.partial"
    accelerator.save_state(partial)
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        (partial / "progress.json").write_text(json.dumps(progress), encoding="utf-8")
        partial.rename(folder / f"checkpoint-{progress['epochs']:04d}")
        for older in sorted(folder.glob("checkpoint-[0-9]*"))[:-1]:
            shutil.rmtree(older)


def main() -> None:
    """Read, train, evaluate, save."""
    args = parse_arguments()
    order = DataLoaderConfiguration(use_seedable_sampler=True)
    accelerator = Accelerator(log_with=args.report_to, project_dir=args.output_dir, dataloader_config=order)
    set_seed(args.seed)

    files = {"train": args.train_file, "dev": args.dev_file, "test": args.test_file}
    examples = {split: list(read_examples(file)) for split, file in files.items() if file}
    labels = sorted({entity.label for example in examples["train"] for entity in example.entities})

    tokenizer = AutoTokenizer.from_pretrained(args.encoder)
    model_class = {"efficient": EncoderForEfficientGlobalPointer, "full": EncoderForGlobalPointer}[args.head]
    model = model_class.from_encoder_pretrained(args.encoder, labels=labels)
    freeze_unused(model)  # processes would wait for gradients of what the loss does not depend on
    rules = find_span_rules(examples["train"], tokenizer, model.max_positions())
    rules.apply(model.config)  # which entities may overlap, how long they and windows are, whether capitals are marked
    # What a run that is resumed must have begun with.
    settings = {name: value for name, value in vars(args).items() if name not in ("output_dir", "resume", "report_to")}
    digests = {f"{split}_sha256": data_digest(texts) for split, texts in examples.items()}
    settings |= {"labels": labels, "mark_capitals": model.config.mark_capitals}
    settings |= {"processes": accelerator.num_processes, **digests}
    if accelerator.is_main_process:
        check_output_folder(args.output_dir, checkpoint_bytes(model, 3), resume=args.resume)
        begin_run(args.output_dir, settings, resume=args.resume)

    accelerator.print(f"Rules of the data: {rules.summary()}")
    collator = DataCollatorForGlobalPointer(tokenizer)
    loaders, metrics, sets = {}, {}, {}
    for split, texts in examples.items():
        # For training also joined to longer texts, so that the model knows those too.
        joined = args.joined if split == "train" else 0.0
        features = sets[split] = ExampleDataset(texts, tokenizer, model.config, joined, args.seed)
        accelerator.print(f"{split}: {len(texts)} examples, {features.report.summary()}")
        metrics[split] = ComputeSpanMetrics(model.config.id2label, unaligned=features.report.unaligned_counts)
        size = args.per_device_train_batch_size if split == "train" else args.per_device_eval_batch_size
        loaders[split] = accelerator.prepare(DataLoader(features, size, shuffle=split == "train", collate_fn=collator))

    optimizer = torch.optim.AdamW(parameter_groups(model, args.learning_rate, args.head_learning_rate))
    model, optimizer = accelerator.prepare(model, optimizer)
    steps_per_epoch = math.ceil(len(loaders["train"]) / args.gradient_accumulation_steps)
    total_steps = args.num_train_epochs * steps_per_epoch
    scheduler = get_linear_schedule_with_warmup(optimizer, math.ceil(0.1 * total_steps), total_steps)
    accelerator.register_for_checkpointing(scheduler)
    progress = {"epochs": 0, "best_f1": -1.0}

    set_seed(args.seed)
    if args.resume and (checkpoints := sorted(args.output_dir.glob("checkpoint-[0-9]*"))):
        accelerator.print(f"Going on from {checkpoints[-1]}.")
        accelerator.load_state(checkpoints[-1])
        progress = json.loads((checkpoints[-1] / "progress.json").read_text(encoding="utf-8"))
    accelerator.init_trackers("ner", {**vars(args), "output_dir": str(args.output_dir)})

    for epoch in range(progress["epochs"], args.num_train_epochs):
        model.train()
        loaders["train"].set_epoch(epoch)
        sets["train"].set_epoch(epoch)
        batches = iter(loaders["train"])
        for _ in tqdm(range(steps_per_epoch), f"epoch {epoch + 1}", disable=not accelerator.is_main_process):
            group = list(islice(batches, args.gradient_accumulation_steps))
            # The mean over all samples of the step, wherever they are; data parallelism averages over processes.
            samples = torch.tensor(sum(len(batch["labels"]) for batch in group), device=accelerator.device)
            scale = accelerator.num_processes / accelerator.gather(samples).sum()
            for batch in group:
                share = len(batch["labels"]) * scale
                with nullcontext() if batch is group[-1] else accelerator.no_sync(model):
                    accelerator.backward(model(**batch).loss * share)
                    if args.fgm:
                        with fgm_perturbation(accelerator.unwrap_model(model)):
                            accelerator.backward(model(**batch).loss * share)
            accelerator.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
        scores = evaluate(accelerator, model, loaders["dev"], metrics["dev"])
        accelerator.print(f"epoch {epoch + 1}: dev F1 {scores['f1']:.4f}")
        accelerator.log({f"dev_{name}": score for name, score in scores.items()}, step=epoch + 1)
        if scores["f1"] > progress["best_f1"]:
            progress["best_f1"] = scores["f1"]
            weights = accelerator.get_state_dict(model)
            if accelerator.is_main_process:
                accelerator.unwrap_model(model).save_pretrained(args.output_dir, state_dict=weights)
        progress["epochs"] += 1
        save_checkpoint(accelerator, args.output_dir, progress)

    best = accelerator.prepare(model_class.from_pretrained(args.output_dir))
    results = {s: evaluate(accelerator, best, loaders[s], metrics[s]) for s in loaders if s != "train"}
    if accelerator.is_main_process:
        tokenizer.save_pretrained(args.output_dir)
        data = {split: (texts, sets[split].report) for split, texts in examples.items()}
        name, dataset = args.output_dir.resolve().name, Path(args.train_file).stem
        card = GlobalPointerModelCard.from_model(accelerator.unwrap_model(best), name, dataset, data=data)
        card.scores = results
        card.save(args.output_dir)
        (args.output_dir / "all_results.json").write_text(json.dumps(results, indent=2), encoding="utf-8")
    for split, scores in results.items():
        accelerator.print(f"{split}: " + ", ".join(f"{name} {score:.4f}" for name, score in scores.items()))
    # Before the process group ends: gloo can wait for ever where a model outlives it.
    model, best = accelerator.free_memory(model, best)
    accelerator.end_training()


if __name__ == "__main__":
    main()
