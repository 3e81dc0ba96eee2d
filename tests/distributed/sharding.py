"""FSDP2 of both heads on two processes: the gradient, a sharded checkpoint, and a whole one.

    sharding.py FOLDER

FOLDER/KIND holds the models to shard. Writes the gradient averaged over the processes to FOLDER/KIND.pt, a sharded
checkpoint to FOLDER/KIND-sharded, what the Trainer saves after a step of training to FOLDER/KIND-trained.
"""

import sys
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from gradients import make_features
from transformers import AutoModelForTokenClassification, TrainingArguments
from transformers.distributed import DistributedConfig

from conftest import make_char_tokenizer
from hf_globalpointer import DataCollatorForGlobalPointer, GlobalPointerTrainer


def main() -> None:
    folder = Path(sys.argv[1])
    dist.init_process_group("gloo")
    rank = dist.get_rank()
    collator = DataCollatorForGlobalPointer(make_char_tokenizer())
    for kind in ("efficient", "full"):
        model = AutoModelForTokenClassification.from_pretrained(
            folder / kind, distributed_config=DistributedConfig(fsdp_size=2), device_map="cpu"
        )
        half = make_features()[rank * 5 : rank * 5 + 5]
        model(**collator(half)).loss.backward()
        gradients = [p.grad.full_tensor().flatten() for p in model.parameters() if p.grad is not None]
        if rank == 0:
            torch.save(torch.cat(gradients), folder / f"{kind}.pt")
        dcp.save(model.state_dict(), checkpoint_id=folder / f"{kind}-sharded")
        model.zero_grad()
        trainer = GlobalPointerTrainer(
            model=model,
            args=TrainingArguments(
                str(folder / f"{kind}-trained"), max_steps=2, per_device_train_batch_size=2, save_only_model=True,
                report_to="none", disable_tqdm=True, use_cpu=True, learning_rate=0.01,
            ),
            data_collator=collator,
            train_dataset=make_features(),
        )  # fmt: skip
        trainer.train()
        trainer.save_model()
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
