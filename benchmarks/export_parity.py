"""Exported models beside PyTorch, of every kind of encoder: entities that only one of the two finds, on real text.

    python benchmarks/export_parity.py --tokenizer all-MiniLM-L6-v2 conll04/test.jsonl genia/test.jsonl

The models are small and untrained, with thresholds at which they find about as much as trained ones; they read the
texts of the files, and 2,000 texts of pieces of them and of any characters, in windows of 96 tokens.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from harness import level_for, report
from tqdm import tqdm
from transformers import AutoConfig, AutoModel, AutoTokenizer, PreTrainedTokenizerBase, pipeline

from export import fuzzed
from hf_globalpointer import (
    EncoderForEfficientGlobalPointer,
    EncoderForGlobalPointer,
    Example,
    GlobalPointerNerPipeline,
    Recognizer,
    export_model,
    read_examples,
)
from hf_globalpointer.export.comparison import compare


SIZES = {
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 130,
}
DISTILBERT = {"dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 128, "max_position_embeddings": 130}
ENCODERS: dict[str, dict[str, Any]] = {
    "bert": SIZES,
    "roberta": SIZES,
    "deberta-v2": SIZES | {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]},
    "modernbert": SIZES,
    "electra": SIZES,
    "distilbert": DISTILBERT,
    "xlm-roberta": SIZES,
}
FULL, EFFICIENT = EncoderForGlobalPointer, EncoderForEfficientGlobalPointer
HEADS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "full": (FULL, {}),
    "full, without RoPE": (FULL, {"use_rope": False}),
    "efficient, eq. 7": (EFFICIENT, {}),
    "efficient, eq. 6": (EFFICIENT, {"span_representation": "hidden"}),
    "efficient, without RoPE": (EFFICIENT, {"use_rope": False}),
}
LABELS = ["a", "b", "c", "d", "e"]
# Every head on one encoder, and two on the others.
MODELS = [("bert", head) for head in HEADS] + [
    (family, head) for family in ENCODERS if family != "bert" for head in ("full", "efficient, eq. 7")
]
# Entities a text, about as many as the data have.
WANTED = 3


def make_pipeline(
    family: str, head: str, tokenizer: PreTrainedTokenizerBase, texts: list[str]
) -> GlobalPointerNerPipeline:
    """A small untrained model that finds about as much in the texts as a trained one."""
    torch.manual_seed(0)
    model_class, fields = HEADS[head]
    own = {"bos_token_id": tokenizer.cls_token_id, "eos_token_id": tokenizer.sep_token_id}
    own |= {"cls_token_id": tokenizer.cls_token_id, "sep_token_id": tokenizer.sep_token_id}
    config = AutoConfig.for_model(
        family, vocab_size=len(tokenizer), pad_token_id=tokenizer.pad_token_id, **own, **ENCODERS[family]
    )
    with TemporaryDirectory() as folder:
        AutoModel.from_config(config).save_pretrained(folder)
        model = model_class.from_encoder_pretrained(folder, labels=LABELS, **fields, max_length=96, max_span_length=24)
    # Untrained scores hardly differ, and nearly all would be near the threshold.
    with torch.no_grad():
        for parameter in model.classifier.parameters():
            parameter *= 10
    pipe: GlobalPointerNerPipeline = pipeline("global-pointer-ner", model=model.eval(), tokenizer=tokenizer)

    def count(level: float) -> int:
        model.config.score_threshold = level
        return sum(map(len, pipe(texts, batch_size=32)))

    level_for(count, WANTED * len(texts), low=-1000.0, high=1000.0)
    return pipe


def main() -> None:
    """Compare and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", help="labeled texts")
    parser.add_argument("--tokenizer", required=True, help="any fast tokenizer")
    parser.add_argument("--fuzzed", type=int, default=2000)
    arguments = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(arguments.tokenizer)
    sets = {file: [example.text for example in read_examples(file)] for file in arguments.files}
    known = [text for texts in sets.values() for text in texts]
    sets["fuzzed"] = fuzzed(known, arguments.fuzzed)
    examples = [Example(text) for texts in sets.values() for text in texts]
    rows = []
    for family, head in tqdm(MODELS):
        pipe = make_pipeline(family, head, tokenizer, known[:: len(known) // 64])
        row: dict[str, Any] = {"encoder": family, "head": head}
        for format in ("onnx", "openvino"):
            with TemporaryDirectory() as folder:
                path = Path(folder) / "exported"
                export_model(pipe, path, format, examples=examples[:8])
                found = compare(pipe, Recognizer(path), examples)
            row |= {
                "entities": found.entities,
                f"only one finds, {format}": found.different_entities,
                f"largest difference, {format}": f"{found.score_difference:.1g}",
            }
        rows.append(row)
    report(__file__, f"Exported models beside PyTorch, {len(examples):,} texts", rows)


if __name__ == "__main__":
    main()
