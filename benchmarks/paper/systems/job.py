"""What a system is told and what it answers; without any package, since rivals have environments of their own.

A job is a file of JSON: `encoder`, the files `train` and `dev`, a `folder` to work in, `seed`, `settings`, `ablation`
and `texts`, lists of texts by name. The answer is `predictions.json` in the folder: for every text its entities, each
with `start`, `end` (in characters, exclusive) and `label`.
"""

import json
import re
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


Entities = list[dict[str, Any]]
Recognize = Callable[[Sequence[str]], list[Entities]]
# An ideograph, or what stands between whitespace and ideographs.
_WORD = re.compile(r"[\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]|[^\s\u2e80-\u9fff\uf900-\ufaff\uff00-\uffef]+")


def read_job() -> Any:
    """The job whose file is named on the command line."""
    return json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))


def do(job: dict[str, Any], train: Callable[[dict[str, Any]], Recognize]) -> None:
    """Train, predict, and write the answer.

    Args:
        job (`dict`): The job.
        train (`Callable`): Trains on it, or goes on with its training, and returns what recognizes entities.
    """
    begin = time.perf_counter()
    recognize = train(job)
    trained = time.perf_counter()
    found = {name: recognize(texts) for name, texts in job["texts"].items()}
    answer = {
        "predictions": found,
        "training_seconds": round(trained - begin),
        "prediction_seconds": round(time.perf_counter() - trained),
    }
    path = Path(job["folder"]) / "predictions.json"
    path.with_suffix(".part").write_text(json.dumps(answer), encoding="utf-8")
    path.with_suffix(".part").rename(path)


def read_lines(path: str) -> list[dict[str, Any]]:
    """The examples of a file: `text`, and `entities` with `start`, `end` and `label`."""
    with open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def labels_of(examples: Sequence[dict[str, Any]]) -> list[str]:
    """All labels, sorted."""
    return sorted({entity["label"] for example in examples for entity in example["entities"]})


def words_of(text: str) -> list[tuple[int, int]]:
    """Start and end of each word; ideographs are words by themselves."""
    return [match.span() for match in _WORD.finditer(text)]


def word_entities(example: dict[str, Any]) -> list[tuple[int, int, str]]:
    """First word, last word and label of the entities that start and end where words do."""
    words = words_of(example["text"])
    starts = {start: index for index, (start, _) in enumerate(words)}
    ends = {end: index for index, (_, end) in enumerate(words)}
    return [
        (starts[e["start"]], ends[e["end"]], e["label"])
        for e in example["entities"]
        if e["start"] in starts and e["end"] in ends
    ]


def flat(entities: Sequence[tuple[int, int, str]]) -> list[tuple[int, int, str]]:
    """Entities without those that overlap a longer one: all that tags can tell."""
    kept: list[tuple[int, int, str]] = []
    for start, end, label in sorted(entities, key=lambda entity: entity[0] - entity[1]):
        if all(end < other[0] or start > other[1] for other in kept):
            kept.append((start, end, label))
    return sorted(kept)


def strict_f1(examples: Sequence[dict[str, Any]], predictions: Sequence[Entities]) -> float:
    """Micro-F1 of entities that agree in start, end and label."""
    correct = total = 0
    for example, found in zip(examples, predictions, strict=True):
        gold = {(e["start"], e["end"], e["label"]) for e in example["entities"]}
        predicted = {(e["start"], e["end"], e["label"]) for e in found}
        correct += len(gold & predicted)
        total += len(gold) + len(predicted)
    return 2 * correct / total if total else 0.0
