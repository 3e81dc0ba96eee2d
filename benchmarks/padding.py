"""What packing texts into one sequence could save: the share of tokens that are padding, in batches as they are made.

    python benchmarks/padding.py --tokenizer my-ner conll04/train.jsonl [genia/train.jsonl ...]

An encoder takes time for every token of a batch, padding included. Attention takes more for longer texts, which have
little padding, so the share bounds what is to be had. Windows are those of the rules of the data. Training is without
joined texts, which fill windows.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

from harness import report
from transformers import AutoTokenizer, set_seed
from transformers.trainer_pt_utils import LengthGroupedSampler

from hf_globalpointer import (
    BertEfficientGlobalPointerConfig,
    BertForEfficientGlobalPointer,
    GlobalPointerNerPipeline,
    find_span_rules,
    read_examples,
)
from hf_globalpointer.modeling.text_recognizer import Document


_TEXTS = 20_000
_BATCH_SIZES = (8, 32, 128)


def main() -> None:
    """Count and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokenizer", required=True, help="folder or Hub id")
    parser.add_argument("data", nargs="+", type=Path, help="files of texts")
    arguments = parser.parse_args()
    tokenizer = AutoTokenizer.from_pretrained(arguments.tokenizer)
    rows = []
    for path in arguments.data:
        examples = list(read_examples(path))[:_TEXTS]
        pipe = _pipeline(tokenizer)
        find_span_rules(examples, tokenizer, pipe.max_positions).apply(pipe.model.config)
        windows = pipe.windows([Document(example.text, None) for example in examples])
        lengths = [len(window.offsets) for window in windows]
        for batch_size in _BATCH_SIZES:
            rows.append(
                {
                    "data": path.parent.name,
                    "windows": len(windows),
                    "mean tokens": sum(lengths) / len(lengths),
                    "batch size": batch_size,
                    "padding, pipeline on a GPU": _share(_recognized(pipe, windows, batch_size, True)),
                    "padding, pipeline on a CPU": _share(_recognized(pipe, windows, batch_size, False)),
                    "padding, training": _share(_trained(lengths, batch_size)),
                    "padding, in the order of the file": _share(_sliced(lengths, batch_size)),
                }
            )
    report(__file__, "Tokens that are padding", rows)


def _pipeline(tokenizer: Any) -> GlobalPointerNerPipeline:
    """A pipeline that only cuts texts; what the encoder knows makes no difference."""
    sizes = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
    config = BertEfficientGlobalPointerConfig(vocab_size=len(tokenizer), labels=["x"], **sizes)
    return GlobalPointerNerPipeline(model=BertForEfficientGlobalPointer(config), tokenizer=tokenizer)


def _recognized(pipe: GlobalPointerNerPipeline, windows: list[Any], batch_size: int, cheap: bool) -> list[list[int]]:
    """The lengths in each batch of the pipeline, which sorts the windows of about 256 batches."""
    size = 256 * batch_size
    with patch.object(type(pipe), "pads_cheaply", cheap):
        return [
            [len(window.offsets) for window in batch]
            for start in range(0, len(windows), size)
            for batch in pipe.batches(windows[start : start + size], batch_size)
        ]


def _trained(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    """Those of an epoch of the Trainer, with `group_by_length`."""
    set_seed(0)
    return _sliced([lengths[index] for index in LengthGroupedSampler(batch_size, lengths=list(lengths))], batch_size)


def _sliced(lengths: Sequence[int], batch_size: int) -> list[list[int]]:
    return [list(lengths[start : start + batch_size]) for start in range(0, len(lengths), batch_size)]


def _share(batches: Iterable[Sequence[int]]) -> float:
    """Of all tokens of padded batches, those that are padding."""
    padded, real = 0, 0
    for batch in batches:
        padded += max(batch) * len(batch)
        real += sum(batch)
    return 1 - real / padded


if __name__ == "__main__":
    main()
