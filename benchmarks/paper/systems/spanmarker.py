"""SpanMarker 1.8.1, in an environment of its own, since it needs Transformers 4.

Its lengths are those of its documentation: 256 tokens, 128 pairs of markers, entities of up to 8 words.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from best_epoch import BestEpoch
from datasets import Dataset
from job import Entities, Recognize, do, flat, labels_of, read_job, read_lines, word_entities, words_of
from span_marker import SpanMarkerModel, Trainer
from transformers import TrainingArguments, set_seed
from transformers.trainer_utils import get_last_checkpoint


def tagged(examples: Sequence[dict[str, Any]], tags: Sequence[str]) -> Dataset:
    """Words and their BIO tags."""
    rows = []
    for example in examples:
        words = [example["text"][start:end] for start, end in words_of(example["text"])]
        ids = [0] * len(words)
        for start, end, label in flat(word_entities(example)):
            ids[start : end + 1] = [tags.index(f"B-{label}")] + [tags.index(f"I-{label}")] * (end - start)
        rows.append({"tokens": words, "ner_tags": ids})
    return Dataset.from_list(rows)


def train(job: dict[str, Any]) -> Recognize:
    """Fine-tune, or go on with it, and keep the epoch that is best on development data."""
    settings, folder = job["settings"], Path(job["folder"]) / "checkpoints"
    examples, dev = read_lines(job["train"]), read_lines(job["dev"])
    tags = ["O", *(f"{prefix}-{label}" for label in labels_of(examples) for prefix in "BI")]
    set_seed(job["seed"])
    model = SpanMarkerModel.from_pretrained(
        job["encoder"], labels=tags, model_max_length=256, marker_max_length=128, entity_max_length=8
    )

    def recognize(texts: Sequence[str]) -> list[Entities]:
        words = [words_of(text) for text in texts]
        inputs = [[text[start:end] for start, end in each] for text, each in zip(texts, words, strict=True)]
        found = model.predict(inputs, batch_size=32)
        return [
            [
                {
                    "start": each[entity["word_start_index"]][0],
                    "end": each[entity["word_end_index"] - 1][1],
                    "label": entity["label"],
                }
                for entity in entities
            ]
            for each, entities in zip(words, found, strict=True)
        ]

    best = BestEpoch(model, recognize, dev, Path(job["folder"]))
    groups: dict[tuple[float, float], list[torch.nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        rate = settings["encoder_lr"] if name.startswith("encoder") else settings["head_lr"]
        groups.setdefault((rate, 0.01 if parameter.dim() > 1 else 0.0), []).append(parameter)
    optimizer = torch.optim.AdamW(
        [{"params": params, "lr": rate, "weight_decay": decay} for (rate, decay), params in groups.items()]
    )
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            str(folder),
            num_train_epochs=settings["epochs"],
            per_device_train_batch_size=settings["batch_size"],
            learning_rate=settings["encoder_lr"],
            warmup_ratio=0.1,
            save_strategy="epoch",
            save_total_limit=1,
            logging_strategy="epoch",
            report_to="none",
            seed=job["seed"],
        ),
        train_dataset=tagged(examples, tags),
        callbacks=[best],
        optimizers=(optimizer, None),
    )
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(folder)) if folder.exists() else None)
    best.load()
    return recognize


if __name__ == "__main__":
    job = read_job()
    do(job, train)
