"""GLiNER 0.2.29 with an untrained head, in an environment of its own, since it needs an older Transformers.

The defaults of its configuration but for the encoder: spans of up to 12 words, 384 words, flat, one label, threshold
0.5. GLiNER is made to be trained on many data sets first; here it sees the training examples alone, as all do.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from best_epoch import BestEpoch
from gliner import GLiNER, GLiNERConfig
from gliner.training import Trainer, TrainingArguments
from job import Entities, Recognize, do, labels_of, read_job, read_lines, word_entities, words_of
from transformers import set_seed
from transformers.trainer_utils import get_last_checkpoint


def train(job: dict[str, Any]) -> Recognize:
    """Fine-tune, or go on with it, and keep the epoch that is best on development data."""
    settings, folder = job["settings"], Path(job["folder"])
    examples, dev = read_lines(job["train"]), read_lines(job["dev"])
    labels = labels_of(examples)
    set_seed(job["seed"])
    model = GLiNER.from_config(GLiNERConfig(model_name=job["encoder"]))

    def recognize(texts: Sequence[str]) -> list[Entities]:
        model.eval()
        found = model.inference(list(texts), labels, batch_size=16)
        return [[{name: e[name] for name in ("start", "end", "label")} for e in entities] for entities in found]

    rows = [
        {
            "tokenized_text": [example["text"][start:end] for start, end in words_of(example["text"])],
            "ner": [list(entity) for entity in word_entities(example)],
            "ner_labels": labels,
        }
        for example in examples
    ]
    checkpoints = folder / "checkpoints"
    best = BestEpoch(model, recognize, dev, folder)
    trainer = Trainer(
        model=model,
        args=TrainingArguments(
            output_dir=str(checkpoints),
            num_train_epochs=settings["epochs"],
            per_device_train_batch_size=settings["batch_size"],
            learning_rate=settings["encoder_lr"],
            others_lr=settings["head_lr"],
            weight_decay=0.01,
            others_weight_decay=0.01,
            warmup_ratio=0.1,
            save_strategy="epoch",
            save_total_limit=1,
            logging_strategy="epoch",
            report_to="none",
            seed=job["seed"],
            use_cpu=not torch.cuda.is_available(),
        ),
        train_dataset=rows,
        data_collator=model._create_data_collator(),
        processing_class=model.data_processor.transformer_tokenizer,
        callbacks=[best],
    )
    trainer.train(resume_from_checkpoint=get_last_checkpoint(str(checkpoints)) if checkpoints.exists() else None)
    best.load()
    return recognize


if __name__ == "__main__":
    job = read_job()
    do(job, train)
