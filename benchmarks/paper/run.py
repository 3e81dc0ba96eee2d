"""Train and score every system of a configuration: a queue that goes on where it was interrupted.

    make -C benchmarks/paper results ENCODER=... DATA=... CONFIG=configs/minilm.toml WORK=work LANES=2

Each run appends one line of JSON to results/DATA_SET.jsonl. Runs that have a line there are not made again; one that
was interrupted goes on from its last epoch. Of the learning rates of the configuration, all are tried with the first
seed, and those with the best dev F1 are taken for the others and for the ablations.

SpanMarker and GLiNER need older versions of Transformers, so each has an environment of its own, which make makes with
requirements/spanmarker.txt and requirements/gliner.txt: --python-spanmarker and --python-gliner name their Python.
Without it their runs are left out, and it is said.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

from data_sets import DATA_SETS, prepare
from robustness import joined

from hf_globalpointer import Evaluation, Example, read_examples


HERE = Path(__file__).parent
SCRIPTS = {
    "efficient-global-pointer": "global_pointer.py",
    "efficient-global-pointer-eq6": "global_pointer.py",
    "global-pointer": "global_pointer.py",
    "bert-crf": "tagging.py",
    "token-classification": "tagging.py",
    "span-marker": "spanmarker.py",
    "gliner": "gliner_system.py",
}
# What is chosen by the package itself, and not by a grid.
AS_SHIPPED = "as-shipped"
# Read from the weights of the plain run.
THRESHOLDS = "thresholds"


@dataclass(frozen=True)
class Run:
    """One training, or one more reading of a trained model.

    Args:
        system (`str`): The name of the system.
        data (`str`): The name of the data set.
        seed (`int`): The seed.
        ablation (`str`, *optional*): What is changed.
        rates (`tuple[float, float]`, *optional*): Learning rates of encoder and head; none where the package chooses.
        joined (`tuple[int, ...]`): Test texts to a joined text.
        first (`dict[str, int]`): For a part of the data, how many of its examples are taken.
    """

    system: str
    data: str
    seed: int
    ablation: str | None
    rates: tuple[float, float] | None
    joined: tuple[int, ...] = ()
    first: dict[str, int] = field(default_factory=dict, hash=False, compare=False)

    @property
    def name(self) -> str:
        """A name that no other run has."""
        rates = "default" if self.rates is None else "-".join(f"{rate:g}" for rate in self.rates)
        return "/".join((self.data, self.system, *filter(None, [self.ablation]), rates, f"seed-{self.seed}"))


class Queue:
    """The runs of a configuration, given out one by one, and their results.

    Args:
        config (`dict`): The configuration.
        results (`Path`): Folder of the files of results.
        only (`Sequence[str]`): The data sets to run, or none for all.
        available (`Sequence[str]`): The systems that can be run.
    """

    def __init__(self, config: dict[str, Any], results: Path, only: Sequence[str], available: Sequence[str]) -> None:
        self._tables = [table for table in config["tables"] if not only or table["data"] in only]
        self._rates = [tuple(rates) for rates in config["learning_rates"]]
        self._joined, self._available = tuple(config["joined"]), available
        self._results, self._given = results, set[str]()
        self.lock = threading.Condition()
        self.lines = {line["run"]: line for path in results.glob("*.jsonl") for line in _json_lines(path)}

    def take(self) -> Run | None:
        """The next run, as soon as all that it depends on is done; none at the end."""
        with self.lock:
            while True:
                open_runs = [run for run in self._runs() if run.name not in self.lines]
                ready = [run for run in open_runs if run.name not in self._given]
                if ready:
                    self._given.add(ready[0].name)
                    return ready[0]
                if not open_runs:
                    return None
                # Of the runs under way, one may decide which others there are.
                self.lock.wait()

    def finish(self, run: Run, line: dict[str, Any] | None) -> None:
        """Write the result of a run, or none of one that failed, which is not tried again."""
        with self.lock:
            if line is not None:
                with open(self._results / f"{run.data}.jsonl", "a", encoding="utf-8") as file:
                    file.write(f"{json.dumps(line)}\n")
            self.lines[run.name] = line or {}
            self.lock.notify_all()

    def _runs(self) -> Iterator[Run]:
        """All runs that can be named now: the learning rates first, and with those found the seeds and ablations."""
        for table in self._tables:
            for system in (name for name in table["systems"] if name in self._available):
                for ablation in table.get("ablations", [None]):
                    yield from self._table_runs(table, system, ablation)

    def _table_runs(self, table: dict[str, Any], system: str, ablation: str | None) -> Iterator[Run]:
        joined = tuple(table.get("joined", self._joined))
        first = table.get("first", {})

        def run(seed: int, ablation: str | None, rates: tuple[float, float] | None) -> Run:
            return Run(system, table["data"], seed, ablation, rates, joined, first)

        if ablation == AS_SHIPPED:
            yield from (run(seed, ablation, None) for seed in table["seeds"])
            return
        tried = [run(table["seeds"][0], None, rates) for rates in self._rates]
        if ablation is None:
            yield from tried
        if all(each.name in self.lines for each in tried):
            best = max(tried, key=lambda each: self.lines[each.name].get("dev_f1", -1.0))
            if self.lines[best.name]:
                yield from (run(seed, ablation, best.rates) for seed in table["seeds"])


class Runner:
    """Makes runs in processes of their own.

    Args:
        config (`dict`): The configuration.
        encoder (`str`): Folder or Hub id of the encoder.
        data (`Path`): The data directory.
        work (`Path`): Folder for checkpoints and predictions.
        pythons (`dict[str, str]`): The Python of the systems that have an environment of their own.
        threads (`int`): Threads of each run.
    """

    def __init__(
        self, config: dict[str, Any], encoder: str, data: Path, work: Path, pythons: dict[str, str], threads: int
    ) -> None:
        self._config, self._encoder, self._data, self._work = config, encoder, data, work
        self._pythons, self._threads = pythons, threads

    def __call__(self, run: Run) -> dict[str, Any] | None:
        """Train and score; nothing if the run failed."""
        folder = self._work / run.name
        folder.mkdir(parents=True, exist_ok=True)
        files = prepare(run.data, self._data, folder / "data", run.first)
        splits = {part: list(read_examples(files[part])) for part in ("dev", "test")}
        for size in run.joined:
            splits[f"joined {size or 'all'}"] = joined(splits["test"], size or len(splits["test"]))
        settings = {
            **{name: self._config[name] for name in ("epochs", "batch_size")},
            **dict(zip(("encoder_lr", "head_lr"), run.rates or (), strict=False)),
        }
        # The thresholds of a model that is there already.
        plain = Run(run.system, run.data, run.seed, None, run.rates)
        job = {
            **{name: value for name, value in asdict(run).items() if name not in ("rates", "joined", "first")},
            "encoder": self._encoder,
            "train": str(files["train"]),
            "dev": str(files["dev"]),
            "folder": str(folder),
            "model": str(self._work / (plain if run.ablation == THRESHOLDS else run).name / "model"),
            "settings": settings if run.rates else {},
            "texts": {name: [example.text for example in examples] for name, examples in splits.items()},
        }
        (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
        is_trained = (Path(job["model"]) / "metrics.json").exists()
        if not self._process(run, folder):
            return None
        answer = json.loads((folder / "predictions.json").read_text(encoding="utf-8"))
        return self._line(run, job, splits, answer) | ({"seconds": None} if is_trained else {})

    def _process(self, run: Run, folder: Path) -> bool:
        """Run the script of the system; its output goes to a log."""
        python = self._pythons.get(run.system, sys.executable)
        command = [python, str(HERE / "systems" / SCRIPTS[run.system]), str(folder / "job.json")]
        threads = {"OMP_NUM_THREADS": str(self._threads), "TOKENIZERS_PARALLELISM": "false"}
        with open(folder / "log.txt", "a", encoding="utf-8") as log:
            done = subprocess.run(command, env={**os.environ, **threads}, stdout=log, stderr=log, check=False)
        if done.returncode:
            print(f"{run.name} failed with exit status {done.returncode}: see {folder / 'log.txt'}", flush=True)
        return done.returncode == 0

    def _line(
        self, run: Run, job: dict[str, Any], splits: dict[str, list[Example]], answer: dict[str, Any]
    ) -> dict[str, Any]:
        """The result of a run, as its line tells it."""
        evaluations = {
            name: Evaluation.from_predictions(examples, _predictions(answer["predictions"][name]))
            for name, examples in splits.items()
        }
        metrics = {name: evaluation.types.metrics for name, evaluation in evaluations.items()}
        test = evaluations["test"]
        return {
            "run": run.name,
            "system": run.system,
            "data": run.data,
            "stand_in": DATA_SETS[run.data].stand_in,
            "first": run.first,
            "seed": run.seed,
            "ablation": run.ablation,
            "dev_f1": metrics["dev"].micro.f1,
            "test_f1": metrics["test"].micro.f1,
            "test": metrics["test"].to_dict(),
            "joined": {
                name.removeprefix("joined "): {
                    "f1": each.micro.f1,
                    "predicted": each.micro.predicted / each.micro.gold,
                }
                for name, each in metrics.items()
                if name.startswith("joined")
            },
            "longest": {name: asdict(counts) for name, counts in test.longest.metrics.per_label.items()},
            "densities": {name: asdict(counts) for name, counts in test.densities.metrics.per_label.items()},
            # Of each text: correct, predicted and gold entities, for paired tests.
            "test_counts": [
                [len(each.gold & each.predicted.keys()), len(each.predicted), len(each.gold)]
                for each in test.documents
            ],
            "settings": job["settings"] | {"encoder": Path(self._encoder).name},
            "seconds": answer["training_seconds"],
            "prediction_seconds": answer["prediction_seconds"],
            "versions": {name: version(name) for name in ("hf-globalpointer", "torch", "transformers")}
            | {"python": platform.python_version()},
            "machine": _machine(),
        }


def _predictions(found: Sequence[Sequence[dict[str, Any]]]) -> list[list[dict[str, Any]]]:
    """Predictions as the pipeline gives them."""
    return [
        [{"start": e["start"], "end": e["end"], "entity_group": e["label"], "score": 1.0} for e in each]
        for each in found
    ]


def _machine() -> str:
    """The processor, and how many of its threads there are."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor()}, {os.cpu_count()} threads"


def _json_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def main() -> None:
    """Run the queue."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="which systems, data sets, seeds and ablations")
    parser.add_argument("--encoder", required=True, help="folder or Hub id of a pretrained encoder")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets: see data_sets.py")
    parser.add_argument("--work", type=Path, required=True, help="folder for checkpoints; kept to go on later")
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder of the results")
    parser.add_argument("--only", nargs="*", default=[], choices=sorted(DATA_SETS), help="data sets to run")
    parser.add_argument(
        "--systems", nargs="*", default=sorted(SCRIPTS), choices=sorted(SCRIPTS), help="all by default"
    )
    parser.add_argument("--lanes", type=int, default=1, help="runs at a time, which share the processors")
    parser.add_argument("--python-spanmarker", help="Python of an environment with SpanMarker")
    parser.add_argument("--python-gliner", help="Python of an environment with GLiNER")
    arguments = parser.parse_args()
    pythons = {"span-marker": arguments.python_spanmarker, "gliner": arguments.python_gliner}
    for system in [name for name in pythons if name in arguments.systems and not pythons[name]]:
        print(f"{system} is left out: no --python-{system.replace('-', '')} is given.")
    available = [name for name in arguments.systems if pythons.get(name, sys.executable)]
    arguments.results.mkdir(parents=True, exist_ok=True)
    config = tomllib.loads(arguments.config.read_text(encoding="utf-8"))
    queue = Queue(config, arguments.results, arguments.only, available)
    threads = max((os.cpu_count() or 1) // arguments.lanes, 1)
    runner = Runner(
        config,
        arguments.encoder,
        arguments.data,
        arguments.work.resolve(),
        {name: python for name, python in pythons.items() if python},
        threads,
    )

    def lane() -> None:
        while (run := queue.take()) is not None:
            print(f"{run.name} ...", flush=True)
            line = runner(run)
            queue.finish(run, line)
            if line is not None:
                took = f", trained in {timedelta(seconds=line['seconds'])}" if line["seconds"] else ""
                print(f"{run.name}: dev F1 {line['dev_f1']:.4f}, test F1 {line['test_f1']:.4f}{took}", flush=True)

    with ThreadPoolExecutor(arguments.lanes) as pool:
        for done in [pool.submit(lane) for _ in range(arguments.lanes)]:
            done.result()


if __name__ == "__main__":
    main()
