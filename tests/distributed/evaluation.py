"""The scores of a checkpoint by the Trainer, and by the loop of run_ner_no_trainer.py, on however many processes.

    evaluation.py CHECKPOINT OUTPUT DATA [DATA ...]

Writes OUTPUT, a JSON object: for each file of data, the two sets of scores.
"""

import json
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from accelerate import Accelerator
from torch.utils.data import DataLoader
from transformers import AutoModelForTokenClassification, AutoTokenizer, Trainer, TrainingArguments

from hf_globalpointer import (
    ComputeSpanMetrics,
    DataCollatorForGlobalPointer,
    encode_examples,
    max_tokens,
    read_examples,
)
from launching import ROOT


sys.path.insert(0, str(ROOT / "examples"))
from run_ner_no_trainer import evaluate


BATCH = 4


def main() -> None:
    checkpoint, output, *files = sys.argv[1:]
    model = AutoModelForTokenClassification.from_pretrained(checkpoint)
    tokenizer = AutoTokenizer.from_pretrained(checkpoint)
    collator = DataCollatorForGlobalPointer(tokenizer)
    results = {}
    for file in files:
        features, report = encode_examples(
            list(read_examples(file)), tokenizer, model.config.label2id, max_tokens(tokenizer, model.max_positions())
        )
        metrics = ComputeSpanMetrics(model.config.id2label, unaligned=report.unaligned_counts)
        with TemporaryDirectory() as folder:
            arguments = TrainingArguments(
                folder, per_device_eval_batch_size=BATCH, report_to="none", disable_tqdm=True, use_cpu=True
            )
            trainer = Trainer(model, arguments, data_collator=collator, compute_metrics=metrics)
            of_trainer = trainer.evaluate(features)
        accelerator = Accelerator(cpu=True)
        loader = accelerator.prepare(DataLoader(features, BATCH, collate_fn=collator))
        of_loop = evaluate(accelerator, accelerator.prepare(model), loader, metrics)
        results[Path(file).name] = {
            "trainer": {name: of_trainer[f"eval_{name}"] for name in of_loop},
            "loop": of_loop,
            "samples": len(features),
        }
    if accelerator.is_main_process:
        Path(output).write_text(json.dumps(results), encoding="utf-8")


if __name__ == "__main__":
    main()
