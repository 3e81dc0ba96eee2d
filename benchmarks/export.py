"""Exported models beside PyTorch: texts in to entities out, latency of single texts, cold start, and the span search.

    python benchmarks/export.py --model my-ner --test conll04/test.jsonl --calibrate conll04/dev.jsonl

Throughput is that of all test texts in batches of 32, each system in turns; the bare encoder is PyTorch in float32 on
the same batches, without tokenizing, head or decoding. F1 is strict. A cold start is the time from the start of a
process to its first entity. `--fuzzed` texts, pieces of the test texts and of any characters, are read by the pipeline
and by each exported model in float32: how many entities only one of the two finds.
"""

import argparse
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from harness import medians, report
from transformers import pipeline

from hf_globalpointer import (
    Example,
    GlobalPointerNerPipeline,
    Recognizer,
    SpanScores,
    export_model,
    read_examples,
)
from hf_globalpointer.export.comparison import compare
from hf_globalpointer.modeling.text_recognizer import Document
from hf_globalpointer.modeling.token_windows import pad_windows
from hf_globalpointer.runtime.span_search import Factors, spans_above


BATCH = 32
EXPORTS: dict[str, dict[str, Any]] = {
    "ONNX Runtime": {"format": "onnx"},
    "ONNX Runtime, int8": {"format": "onnx", "quantize": "int8"},
    "OpenVINO": {"format": "openvino"},
    "OpenVINO, bfloat16": {"format": "openvino", "dtype": "bfloat16"},
    "OpenVINO, int8": {"format": "openvino", "quantize": "int8"},
    "OpenVINO, int8 and bfloat16": {"format": "openvino", "quantize": "int8", "dtype": "bfloat16"},
}
# Those that are also measured with two batches at once.
IN_STREAMS = ("ONNX Runtime", "ONNX Runtime, int8", "OpenVINO, int8 and bfloat16")
TEXT = "Alfred Nobel was born in Stockholm."
COLD = {
    "pipeline": "import hf_globalpointer; from transformers import pipeline; "
    "print(pipeline('global-pointer-ner', model={folder!r})({text!r}))",
    "Recognizer": "from hf_globalpointer import Recognizer; print(Recognizer({folder!r})({text!r}))",
}
# As where PyTorch and Transformers are not installed.
WITHOUT_TORCH = """
import importlib.machinery
find = importlib.machinery.PathFinder.find_spec
importlib.machinery.PathFinder.find_spec = staticmethod(
    lambda name, *more: None if name.split(".")[0] in ("torch", "transformers") else find(name, *more)
)
"""


class BareEncoder:
    """The encoder alone, on batches that are ready."""

    def __init__(self, pipe: GlobalPointerNerPipeline, texts: Sequence[str]) -> None:
        windows = pipe.windows([Document(text, None) for text in texts])
        batches = [pad_windows(batch, pipe.tokenizer) for batch in pipe.batches(windows, BATCH)]
        self._encoder = pipe.model.base_model
        self._batches = [
            {name: torch.from_numpy(values) for name, values in batch.items() if name != "span_token_mask"}
            for batch in batches
        ]

    @torch.no_grad()
    def __call__(self) -> None:
        """All batches."""
        for batch in self._batches:
            self._encoder(**batch)


def latencies(recognize: Any, texts: Sequence[str]) -> tuple[float, float]:
    """Median and 99th percentile of the milliseconds of a text by itself."""
    times = []
    for text in texts:
        begin = time.perf_counter()
        recognize(text)
        times.append(1e3 * (time.perf_counter() - begin))
    return statistics.median(times), float(np.quantile(times, 0.99))


def cold_start(kind: str, folder: str) -> float:
    """Median seconds from the start of a process to its first entity."""
    times = []
    for _ in range(3):
        code = (WITHOUT_TORCH if kind == "Recognizer" else "") + COLD[kind].format(folder=folder, text=TEXT)
        begin = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def fuzzed(texts: Sequence[str], count: int) -> list[str]:
    """Texts of pieces of texts and of any characters, of which some are long."""
    generator = random.Random(0)
    made = []
    for _ in range(count):
        pieces = []
        for _ in range(generator.choice((1, 2, 2, 3, 3, 3, 3, 3, 3, 30))):
            text = generator.choice(texts)
            begin = generator.randrange(len(text))
            pieces.append(text[begin : begin + generator.randrange(60)])
            # Not surrogates, which are no characters.
            pieces.append("".join(chr(generator.choice((32, 10, 0x300, 0x4E2D, 0x1F600))) for _ in range(2)))
            pieces.append("".join(map(chr, generator.choices(range(0x2FFF), k=generator.randrange(6)))))
        made.append("".join(pieces))
    return made


def search_row() -> dict[str, Any]:
    """The search for spans in NumPy and in PyTorch, at (batch, n, types) = (8, 512, 66)."""
    torch.manual_seed(0)
    parts = [
        torch.randn(8, 1, 512, 64) / 8,
        torch.randn(8, 1, 512, 64),
        torch.randn(8, 66, 512),
        torch.randn(8, 66, 512),
    ]
    mask = torch.ones(8, 2, 512, dtype=torch.bool)
    scores, limits = SpanScores(*parts, mask), torch.full((66,), 9.0)
    factors = Factors(*(part.numpy() for part in parts))
    times = medians(
        {
            "numpy": lambda: spans_above(factors, mask.numpy(), limits.numpy(), 1024, None),
            "torch": lambda: scores.above(limits, 1024),
        },
        7,
    )
    return {
        "system": "span search in NumPy against PyTorch, (8, 512, 66)",
        "time": f"{times['numpy'] * 1e3:.0f} ms, {times['torch'] * 1e3:.0f} ms",
        "ratio": times["numpy"] / times["torch"],
    }


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="checkpoint of this package")
    parser.add_argument("--test", required=True, help="labeled texts")
    parser.add_argument("--calibrate", required=True, help="development examples")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--fuzzed", type=int, default=2000)
    arguments = parser.parse_args()
    examples, dev = list(read_examples(arguments.test)), list(read_examples(arguments.calibrate))
    texts = [example.text for example in examples]
    pipe = pipeline("global-pointer-ner", model=arguments.model, device="cpu")
    rows = []
    with TemporaryDirectory() as folder:
        systems: dict[str, Any] = {"pipeline": pipe}
        paths = {name: Path(folder) / str(index) for index, name in enumerate(EXPORTS)}
        for name, options in EXPORTS.items():
            export_model(pipe, paths[name], examples=dev, max_f1_loss=100, **options)
            systems[name] = Recognizer(paths[name])
        for name in IN_STREAMS:
            systems[f"{name}, 2 streams"] = Recognizer(paths[name], streams=2)
        systems["pipeline, bfloat16"] = pipeline(
            "global-pointer-ner", model=arguments.model, device="cpu", dtype="bfloat16"
        )
        systems["pipeline, compiled"] = pipeline("global-pointer-ner", model=arguments.model, device="cpu")
        systems["pipeline, compiled"].model.compile(dynamic=True)
        runs = {name: lambda system=system: system(texts, batch_size=BATCH) for name, system in systems.items()}
        times = medians({"bare encoder": BareEncoder(pipe, texts), **runs}, arguments.rounds)
        for name, seconds in times.items():
            row: dict[str, Any] = {"system": name, "texts a second": len(texts) / seconds}
            row["against the bare encoder"] = times["bare encoder"] / seconds
            if name in systems:
                found = compare(pipe, systems[name], examples, BATCH)
                row |= {"test F1": f"{found.exported_f1:.4f}", "entities only one finds": found.different_entities}
                row |= {"largest difference": f"{found.score_difference:.2g}"}
                median, slow = latencies(systems[name], texts)
                row |= {"one text, median": f"{median:.1f} ms", "one text, 99 %": f"{slow:.1f} ms"}
            rows.append(row)
        starts = {"pipeline": cold_start("pipeline", arguments.model)}
        starts |= {name: cold_start("Recognizer", str(paths[name])) for name in ("ONNX Runtime", "OpenVINO")}
        fuzz = fuzzed(texts, arguments.fuzzed)
        for name in ("ONNX Runtime", "OpenVINO"):
            found = compare(pipe, systems[name], [Example(text) for text in fuzz], BATCH)
            rows.append({"system": f"{name}, {found.texts:,} fuzzed texts", "differences": found.summary()})
    for name, seconds in starts.items():
        rows.append(
            {"system": f"cold start, {name}", "time": f"{seconds:.2f} s", "ratio": seconds / starts["pipeline"]}
        )
    rows.append(search_row())
    report(__file__, "Exported models beside PyTorch", rows)


if __name__ == "__main__":
    main()
