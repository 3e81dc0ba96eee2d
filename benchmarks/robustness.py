"""Entities on texts unlike those of training: longer, in other case, with errors, from the web, of another domain.

    python benchmarks/robustness.py --test conll04/test.jsonl --foreign genia/test.jsonl \
        --models my-ner-1 my-ner-2 --stock stock-ner

Each model, a checkpoint folder of this package, and the stock token-classification models beside them, read the same
texts:

- joined: the test texts in order, so many to a text, with a space between them;
- upper, lower: all letters in one case;
- typos: in each text, one letter in 20 changes places with the next one;
- web: an address before each text, hashtags and an address after it;
- foreign: texts of another domain, where nothing is to be found. There is no F1, only how much is predicted.

F1 is strict; "predicted" is the number of predictions for each gold entity, "per text" that for each text against the
same on the clean texts. `--train` makes the stock model: the same encoder, learning rate 1e-4, the best of 11 epochs.
"""

import argparse
import random
import statistics
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness import report
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    Trainer,
    TrainingArguments,
    pipeline,
)

from hf_globalpointer import Entity, Example, read_examples, score_predictions
from hf_globalpointer.data.example_dataset import join_examples


Recognize = Callable[[list[str]], list[list[dict[str, Any]]]]
PREFIX, SUFFIX = "https://example.org/a?id=17 ", " #news #breaking @someone https://example.org/b"


def joined(examples: Sequence[Example], size: int) -> list[Example]:
    """So many texts to one, in order."""
    return [join_examples(examples[begin : begin + size]) for begin in range(0, len(examples), size)]


def in_case(examples: Sequence[Example], change: Callable[[str], str]) -> list[Example]:
    """The texts in another case, where that leaves offsets as they are."""
    return [replace(x, text=change(x.text)) if len(change(x.text)) == len(x.text) else x for x in examples]


def with_typos(examples: Sequence[Example]) -> list[Example]:
    """Letters change places with the next one; all offsets stay."""
    generator = random.Random(0)
    changed = []
    for example in examples:
        letters = list(example.text)
        for index in range(len(letters) - 1):
            if letters[index].isalpha() and letters[index + 1].isalpha() and generator.random() < 0.05:
                letters[index : index + 2] = letters[index + 1], letters[index]
        changed.append(replace(example, text="".join(letters)))
    return changed


def from_the_web(examples: Sequence[Example]) -> list[Example]:
    """An address before the text, hashtags after it."""
    shift = len(PREFIX)
    return [
        Example(
            f"{PREFIX}{x.text}{SUFFIX}", tuple(Entity(e.start + shift, e.end + shift, e.label) for e in x.entities)
        )
        for x in examples
    ]


def train_stock(encoder: str, train: str, dev: str, output: str, seed: int) -> None:
    """Fine-tune the stock model for token classification on BIO tags."""
    tokenizer = AutoTokenizer.from_pretrained(encoder)
    splits = {"train": list(read_examples(train)), "dev": list(read_examples(dev))}
    kinds = sorted({entity.label for example in splits["train"] for entity in example.entities})
    labels = ["O", *(f"{prefix}-{kind}" for kind in kinds for prefix in "BI")]
    model = AutoModelForTokenClassification.from_pretrained(
        encoder, id2label=dict(enumerate(labels)), label2id={label: index for index, label in enumerate(labels)}
    )

    def features(example: Example) -> dict[str, Any]:
        """Tokens with a tag each, special ones without."""
        encoded = tokenizer(example.text, truncation=True, return_offsets_mapping=True)
        tags = []
        for start, end in encoded.pop("offset_mapping"):
            inside = next((e for e in example.entities if e.start <= start < end <= e.end), None)
            tag = "O" if inside is None else f"{'B' if start == inside.start else 'I'}-{inside.label}"
            tags.append(-100 if start == end else labels.index(tag))
        return {**encoded, "labels": tags}

    def f1(prediction: Any) -> dict[str, float]:
        """F1 over tokens, which only chooses the epoch."""
        wanted, found = prediction.label_ids, prediction.predictions.argmax(-1)
        known = wanted >= 0
        right = ((wanted == found) & (wanted > 0)).sum()
        return {"f1": 2 * right / ((wanted[known] > 0).sum() + (found[known] > 0).sum())}

    data = {name: [features(example) for example in examples] for name, examples in splits.items()}
    arguments = TrainingArguments(
        f"{output}/checkpoints",
        num_train_epochs=11,
        learning_rate=1e-4,
        warmup_steps=0.1,
        per_device_train_batch_size=16,
        train_sampling_strategy="group_by_length",
        eval_strategy="epoch",
        save_strategy="epoch",
        save_total_limit=1,
        load_best_model_at_end=True,
        metric_for_best_model="f1",
        report_to="none",
        seed=seed,
    )
    collator = DataCollatorForTokenClassification(tokenizer)
    trainer = Trainer(model, arguments, collator, data["train"], data["dev"], tokenizer, compute_metrics=f1)
    trainer.train()
    trainer.save_model(output)


def ours(folder: str) -> Recognize:
    """A model of this package, as its checkpoint says."""
    recognize = pipeline("global-pointer-ner", model=folder)
    return lambda texts: recognize(texts, batch_size=16)


def stock(folder: str) -> Recognize:
    """The stock pipeline: words by their first token, windows of 512 tokens that share 128."""
    tokenizer = AutoTokenizer.from_pretrained(folder, model_max_length=512)
    recognize = pipeline(
        "token-classification", model=folder, tokenizer=tokenizer, aggregation_strategy="first", stride=128
    )
    return lambda texts: recognize(texts, batch_size=8)


def measure(recognize: Recognize, conditions: dict[str, list[Example]]) -> dict[str, dict[str, float]]:
    """Strict F1, predictions for each gold entity, and predictions for each text of the condition."""
    results = {}
    for name, examples in conditions.items():
        predictions = recognize([example.text for example in examples])
        counts = score_predictions(examples, predictions).micro
        results[name] = {
            "F1": counts.f1,
            "predicted": counts.predicted / max(counts.gold, 1),
            "per text": counts.predicted / len(examples),
        }
    return results


def main() -> None:
    """Read, recognize, and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--test", required=True, help="labeled texts")
    parser.add_argument("--foreign", help="texts of another domain")
    parser.add_argument("--models", nargs="+", default=[], help="checkpoints of this package")
    parser.add_argument("--stock", nargs="*", default=[], help="stock checkpoints, which --train makes")
    parser.add_argument("--sizes", nargs="+", type=int, default=[4, 16], help="texts to a joined text, besides all")
    parser.add_argument("--train", nargs=3, metavar=("ENCODER", "TRAIN", "DEV"), help="make the first stock model")
    parser.add_argument("--seed", type=int, default=1, help="of --train")
    arguments = parser.parse_args()
    if arguments.train:
        train_stock(*arguments.train, arguments.stock[0], arguments.seed)
    examples = list(read_examples(arguments.test))
    conditions = {"clean": examples}
    for size in (*arguments.sizes, len(examples)):
        conditions[f"joined, {size}"] = joined(examples, size)
    conditions |= {
        "upper": in_case(examples, str.upper),
        "lower": in_case(examples, str.lower),
        "typos": with_typos(examples),
        "web": from_the_web(examples),
    }
    if arguments.foreign:
        foreign = list(read_examples(arguments.foreign))[: len(examples)]
        conditions["foreign"] = [Example(example.text) for example in foreign]
    systems = {"ours": [ours(name) for name in arguments.models], "stock": [stock(name) for name in arguments.stock]}
    measured = {
        name: [measure(recognize, conditions) for recognize in systems[name]] for name in systems if systems[name]
    }
    rows = []
    for condition in conditions:
        row: dict[str, Any] = {"texts": condition}
        for name, runs in measured.items():
            means = {key: statistics.mean(run[condition][key] for run in runs) for key in runs[0][condition]}
            clean = statistics.mean(run["clean"]["per text"] for run in runs)
            if condition != "foreign":
                row |= {f"{name} F1": round(means["F1"], 4), f"{name} predicted": round(means["predicted"], 3)}
            if not condition.startswith("joined"):
                # A model that predicts nothing at all has no ratio.
                row[f"{name} per text"] = round(means["per text"] / clean, 3) if clean else "-"
        rows.append(row)
    count = ", ".join(f"{len(runs)} {name}" for name, runs in measured.items())
    data = f"{Path(arguments.test).parent.name}/{Path(arguments.test).name}"
    report(__file__, f"Texts unlike those of training: {data}, mean of {count} models", rows)


if __name__ == "__main__":
    main()
