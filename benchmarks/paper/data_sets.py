"""The data sets of the paper as files of JSON Lines: which is what, and how far each is the original."""

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DataSet:
    """Where the parts of a data set are.

    Args:
        train (`str`): File of the training examples, within the data directory.
        test (`str`): That of the test examples.
        dev (`str`, *optional*): That of the development examples; without one, every tenth training example.
        stand_in (`str`, *optional*): How it differs from the data of the paper.
    """

    train: str
    test: str
    dev: str | None = None
    stand_in: str | None = None


DATA_SETS = {
    "conll04": DataSet("conll04/train.jsonl", "conll04/test.jsonl", "conll04/dev.jsonl"),
    "genia": DataSet(
        "genia/train_outer.jsonl",
        "genia/test.jsonl",
        "genia/dev.jsonl",
        "of two nested training entities of one type only the outer is there",
    ),
    "ade": DataSet("ade/fold0_train.jsonl", "ade/fold0_test.jsonl"),
    "webnlg-star": DataSet("webnlg-star/train.jsonl", "webnlg-star/test.jsonl", "webnlg-star/dev.jsonl"),
    "cluener": DataSet("cluener/train.jsonl", "cluener/dev.jsonl"),
    "peopledaily": DataSet(
        "peopledaily/train_proxy.jsonl",
        "peopledaily/test.jsonl",
        "peopledaily/dev.jsonl",
        "training sentences drawn from the corpus that the original was drawn from",
    ),
    "cmeee-v2": DataSet(
        "cmeee-v2/train_rebuilt.jsonl",
        "cmeee-v2/dev.jsonl",
        None,
        "the later annotation, nested training entities rebuilt from a flat file",
    ),
}


def prepare(name: str, source: Path, target: Path, first: dict[str, int]) -> dict[str, Path]:
    """Write the three parts of a data set, each cut to its first examples if `first` says so.

    Args:
        name (`str`): Name of the data set.
        source (`Path`): The data directory.
        target (`Path`): The folder to write `train.jsonl`, `dev.jsonl` and `test.jsonl` to.
        first (`dict[str, int]`): For a part, how many of its examples are taken.
    """
    data = DATA_SETS[name]
    parts = {"train": _lines(source / data.train), "test": _lines(source / data.test)}
    if data.dev is None:
        parts["dev"] = parts["train"][::10]
        parts["train"] = [line for index, line in enumerate(parts["train"]) if index % 10]
    else:
        parts["dev"] = _lines(source / data.dev)
    target.mkdir(parents=True, exist_ok=True)
    files = {}
    for part, lines in parts.items():
        files[part] = target / f"{part}.jsonl"
        files[part].write_text("".join(lines[: first.get(part, len(lines))]), encoding="utf-8")
    return files


def _lines(path: Path) -> list[str]:
    with open(path, encoding="utf-8") as file:
        return [f"{json.dumps(json.loads(line), ensure_ascii=False)}\n" for line in file]
