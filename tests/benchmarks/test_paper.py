"""The benchmark of the paper: which runs there are, in which order, and what a run of each system gives."""

import json
import sys
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

import launching
from conftest import letters, write
from hf_globalpointer import read_examples, score_predictions


PAPER = Path(__file__).parents[2] / "benchmarks" / "paper"
FOLDERS = [PAPER, PAPER / "systems", PAPER.parent]
CONFIG: dict[str, Any] = {
    "epochs": 1,
    "batch_size": 8,
    "learning_rates": [[1e-4, 1e-3], [5e-5, 1e-3]],
    "joined": [2, 0],
    "tables": [
        {"data": "conll04", "seeds": [1, 2], "systems": ["bert-crf", "span-marker", "global-pointer"]},
        {"data": "conll04", "seeds": [1, 2], "systems": ["global-pointer"], "ablations": ["as-shipped", "no-rope"]},
    ],
}


@pytest.fixture
def paper(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """The modules of the benchmark by name."""
    for folder in FOLDERS:
        monkeypatch.syspath_prepend(str(folder))
    before = set(sys.modules)
    yield import_module
    # Their names, such as `run`, are not for other tests.
    for name in set(sys.modules) - before:
        if str(PAPER) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


def all_runs(queue: Any, dev_f1: dict[str, float], results: Path) -> list[str]:
    """The names of the runs in the order in which they are given out, each done at once."""
    names = []
    while (run := queue.take()) is not None:
        names.append(run.name)
        queue.finish(run, {"run": run.name, "dev_f1": next((v for k, v in dev_f1.items() if k in run.name), 0.0)})
    return names


def test_the_best_learning_rates_of_the_first_seed_are_those_of_all_others(paper: Any, tmp_path: Path) -> None:
    queue = paper("run").Queue(CONFIG, tmp_path, [], ["bert-crf", "global-pointer"])
    names = all_runs(queue, {"bert-crf/5e-05": 0.9, "global-pointer/0.0001": 0.8}, tmp_path)
    assert names == [
        "conll04/bert-crf/0.0001-0.001/seed-1",
        "conll04/bert-crf/5e-05-0.001/seed-1",
        "conll04/bert-crf/5e-05-0.001/seed-2",
        "conll04/global-pointer/0.0001-0.001/seed-1",
        "conll04/global-pointer/5e-05-0.001/seed-1",
        "conll04/global-pointer/0.0001-0.001/seed-2",
        "conll04/global-pointer/as-shipped/default/seed-1",
        "conll04/global-pointer/as-shipped/default/seed-2",
        "conll04/global-pointer/no-rope/0.0001-0.001/seed-1",
        "conll04/global-pointer/no-rope/0.0001-0.001/seed-2",
    ]
    # What has a line is not made again.
    again = paper("run").Queue(CONFIG, tmp_path, [], ["bert-crf", "global-pointer"])
    assert again.take() is None


def test_a_queue_goes_on_where_it_was_interrupted(paper: Any, tmp_path: Path) -> None:
    queue = paper("run").Queue(CONFIG, tmp_path, [], ["bert-crf"])
    first = queue.take()
    queue.finish(first, {"run": first.name, "dev_f1": 0.5})
    under_way = queue.take()
    again = paper("run").Queue(CONFIG, tmp_path, [], ["bert-crf"])
    assert again.take() == under_way != first


def test_a_failed_run_has_no_line_and_its_learning_rates_are_not_taken(paper: Any, tmp_path: Path) -> None:
    queue = paper("run").Queue(CONFIG, tmp_path, [], ["bert-crf"])
    first = queue.take()
    queue.finish(first, None)
    second = queue.take()
    queue.finish(second, {"run": second.name, "dev_f1": 0.1})
    assert queue.take().rates == second.rates != first.rates
    assert [json.loads(line)["run"] for line in (tmp_path / "conll04.jsonl").open()] == [second.name]


def test_words_entities_and_f1_of_systems_without_this_package(paper: Any, toy_data: Path) -> None:
    job = paper("job")
    text = "ab 中文 c,d"
    assert [text[start:end] for start, end in job.words_of(text)] == ["ab", "中", "文", "c,d"]
    entities = [{"start": 3, "end": 5, "label": "x"}, {"start": 6, "end": 7, "label": "y"}]
    # The second ends within a word.
    assert job.word_entities({"text": text, "entities": entities}) == [(1, 2, "x")]
    assert job.flat([(0, 1, "a"), (0, 4, "b"), (5, 5, "c")]) == [(0, 4, "b"), (5, 5, "c")]
    gold, found = job.read_lines(str(toy_data / "dev.jsonl")), job.read_lines(str(toy_data / "dev.jsonl"))
    for example in found[::3]:
        example["entities"] = [*example["entities"][1:], {"start": 0, "end": 2, "label": "other"}]
    predictions = [example["entities"] for example in found]
    as_pipeline = [[{**e, "entity_group": e["label"], "score": 1.0} for e in each] for each in predictions]
    expected = score_predictions(list(read_examples(toy_data / "dev.jsonl")), as_pipeline).micro.f1
    assert job.strict_f1(gold, predictions) == expected < 1


def test_tags_of_gold_entities_give_them_back(paper: Any, minilm: str) -> None:
    """Also where the text is read in windows, through the very code that reads the tags of a model."""
    tagging = paper("tagging")
    tokenizer = AutoTokenizer.from_pretrained(minilm)
    word = "New York's unbelievableness is here, said Zoë (of U.N.) . "
    entities = [(0, 8, "place"), (11, 27, "thing"), (42, 45, "person"), (50, 54, "place")]
    repeats = 60
    example = {
        "text": word * repeats,
        "entities": [
            {"start": start + i * len(word), "end": end + i * len(word), "label": label}
            for i in range(repeats)
            for start, end, label in entities
        ],
    }
    tags = ["O", *(f"{prefix}-{label}" for label in ("person", "place", "thing") for prefix in "BI")]
    gold = {(e["start"], e["end"]): e["label"] for e in example["entities"]}

    class Oracle:
        """Gives the gold tags of the words of each window."""

        def eval(self) -> None: ...

        def parameters(self) -> Iterator[Any]:
            import torch

            yield torch.zeros(1)

        def tag(self, is_word: Any, **inputs: Any) -> list[list[int]]:
            return [windows.pop(0) for _ in is_word]

    encoded = tokenizer([example["text"]], truncation=True, max_length=512, stride=128, return_overflowing_tokens=True)
    assert len(encoded.encodings) > 2
    windows = []
    for encoding in encoded.encodings:
        row = []
        for start, end in tagging.word_spans(encoding).values():
            inside = [(s, label) for (s, e), label in gold.items() if s <= start < end <= e]
            row.append(tags.index(f"{'B' if start == inside[0][0] else 'I'}-{inside[0][1]}") if inside else 0)
        windows.append(row)
    found = tagging.recognizer(Oracle(), tokenizer, tags)([example["text"]])[0]
    assert found == example["entities"]
    # And those that training sees are the same.
    short = {"text": word, "entities": example["entities"][: len(entities)]}
    labels = [label for label in tagging.features(short, tokenizer, tags)["labels"] if label >= 0]
    assert [tags[label] for label in labels if label] == [
        *("B-place", "I-place", "B-thing", "B-person"),
        *("B-place", "I-place", "I-place", "I-place"),
    ]


def test_every_system_runs(paper: Any, toy_encoder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data" / "conll04"
    data.mkdir(parents=True)
    for seed, (part, count) in enumerate({"train": 24, "dev": 8, "test": 8}.items()):
        write(data / f"{part}.jsonl", letters(seed, count))
    config = tmp_path / "config.toml"
    config.write_text(
        "batch_size = 8\nepochs = 1\nlearning_rates = [[1e-3, 1e-2]]\njoined = [4, 0]\n"
        '[[tables]]\ndata = "conll04"\nseeds = [1]\nsystems = ["bert-crf", "token-classification", "global-pointer"]\n'
        '[[tables]]\ndata = "conll04"\nseeds = [1]\nsystems = ["global-pointer"]\nablations = ["thresholds"]\n'
    )
    results, work = tmp_path / "results", tmp_path / "work"
    run_module = paper("run")

    def forked(runner: Any, run: Any, folder: Path) -> bool:
        """As `_process` does, but without the time that a new process takes to import all."""
        launching.run(PAPER / "systems" / run_module.SCRIPTS[run.system], folder / "job.json")
        return True

    monkeypatch.setattr(run_module.Runner, "_process", forked)
    words = ["--config", config, "--encoder", toy_encoder, "--data", tmp_path / "data"]
    words += ["--work", work, "--results", results, "--lanes", 1]
    monkeypatch.setattr(sys, "argv", ["run.py", *map(str, words)])
    run_module.main()
    lines = [json.loads(line) for line in (results / "conll04.jsonl").open()]
    assert {(line["system"], line["ablation"]) for line in lines} == {
        ("bert-crf", None),
        ("token-classification", None),
        ("global-pointer", None),
        ("global-pointer", "thresholds"),
    }
    for line in lines:
        correct, predicted, gold = (sum(column) for column in zip(*line["test_counts"], strict=True))
        assert line["test_f1"] == pytest.approx(2 * correct / (predicted + gold))
        assert list(line["joined"]) == ["4", "all"]
        assert line["settings"]["epochs"] == 1
        # The thresholds are those of the very model that the plain run trained.
        assert (line["seconds"] is None) == (line["ablation"] == "thresholds")


def test_a_system_that_fails_is_told_and_its_log_named(
    paper: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    module = paper("run")
    run = module.Run("gliner", "conll04", 1, None, (1e-4, 1e-3))
    for command, succeeds in (("true", True), ("false", False)):
        runner = module.Runner(CONFIG, "encoder", tmp_path, tmp_path, {"gliner": command}, threads=1)
        assert runner._process(run, tmp_path) == succeeds
    name = "conll04/gliner/0.0001-0.001/seed-1"
    assert capsys.readouterr().out == f"{name} failed with exit status 1: see {tmp_path}/log.txt\n"
