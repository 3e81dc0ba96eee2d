import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
import ray
from transformers import pipeline

from launching import ROOT, command, environment, run


sys.path.insert(0, str(ROOT / "examples"))
import predict_ray


SCRIPT = ROOT / "examples" / "predict_ray.py"
TEXTS = 240
Found = dict[str, list[dict[str, object]]]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Texts with what JSON Lines of other tools hold besides; one is empty, one is longer than the model takes."""
    generator = random.Random(0)
    path = tmp_path_factory.mktemp("texts") / "texts.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for index in range(TEXTS):
            text = "".join(generator.choices("abcdefgh é\U0001f600", k=generator.randint(0, 30)))
            text = {5: "", 6: "abcd " * 15}.get(index, text)
            file.write(json.dumps({"id": f"n{index}", "text": text, "source": "made up"}) + "\n")
    return path


@pytest.fixture(scope="module")
def expected(data: Path, checkpoint: Path) -> Found:
    """What one process finds."""
    records = [json.loads(line) for line in data.read_text(encoding="utf-8").splitlines()]
    found = pipeline("global-pointer-ner", model=str(checkpoint))([record["text"] for record in records])
    assert sum(map(bool, found)) > TEXTS / 2
    return {record["id"]: entities for record, entities in zip(records, found, strict=True)}


@pytest.fixture(scope="module")
def cluster() -> Iterator[str]:
    """The address of a Ray cluster, started once for all runs but those that start their own."""
    ray.init(num_cpus=3, include_dashboard=False)
    yield ray.get_runtime_context().gcs_address
    ray.shutdown()


def arguments(data: Path, checkpoint: Path, output: Path) -> list[object]:
    return ["--model", checkpoint, "--input", data, "--output", output, "--rows_per_file", 8, "--batch_size", 4]


def assert_all_there_once(output: Path, expected: Found) -> None:
    table = pq.read_table(output)
    assert sorted(table["id"].to_pylist()) == sorted(expected)
    for row in table.to_pylist():
        found = [(entity | {"score": pytest.approx(entity["score"], abs=1e-5)}) for entity in row["entities"]]
        assert expected[row["id"]] == found


def kill_midway(words: list[str], output: Path, kill: Callable[[int], None]) -> tuple[int, str]:
    """Start a command, kill some of its processes once some files, but not all, are written, and wait for its end."""
    process = subprocess.Popen(words, env=environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    until = time.monotonic() + 120
    while len(list(output.glob("*.parquet"))) < 3:
        assert time.monotonic() < until
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.001)
    kill(process.pid)
    assert len(list(output.glob("*.parquet"))) < TEXTS / 8
    shown, _ = process.communicate(timeout=120)
    return process.returncode, shown


def test_a_killed_worker_loses_and_doubles_nothing(
    data: Path, checkpoint: Path, expected: Found, cluster: str, tmp_path: Path
) -> None:
    def kill_a_worker(driver: int) -> None:
        # Those of the cluster, which this process has started.
        family = psutil.Process().children(recursive=True)
        next(process for process in family if "MapWorker" in process.cmdline()[0]).kill()

    words = command(SCRIPT, *arguments(data, checkpoint, tmp_path / "out"), "--address", cluster)
    code, shown = kill_midway(words, tmp_path / "out", kill_a_worker)
    assert code == 0, shown
    assert_all_there_once(tmp_path / "out", expected)


def test_its_own_output_is_an_input(
    data: Path, checkpoint: Path, expected: Found, cluster: str, tmp_path: Path
) -> None:
    for name, source in (("first", data), ("second", tmp_path / "first")):
        run(SCRIPT, *arguments(source, checkpoint, tmp_path / name), "--address", cluster)
        (tmp_path / name / "_SUCCESS").touch()  # as other tools write
        assert_all_there_once(tmp_path / name, expected)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([1, None, None], "Ids must be strings or integers; 2 are not, the first is None"),
        ([1.5, 2.5], r"Ids must be strings or integers; 2 are not, the first is 1\.5\."),
        (["a", "b", "a"], "1 ids are not the only ones of their kind; the first is 'a'"),
        ([], "holds no rows"),
    ],
)
@pytest.mark.usefixtures("cluster")
def test_wrong_ids_are_told_and_leave_no_trace(
    ids: list[object], message: str, checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = tmp_path / "texts.jsonl"
    source.write_text("".join(json.dumps({"id": id, "text": "abc"}) + "\n" for id in ids))
    monkeypatch.setattr(ray, "init", lambda **options: None)
    monkeypatch.setattr(sys, "argv", [str(word) for word in ("", *arguments(source, checkpoint, tmp_path / "out"))])
    with pytest.raises(SystemExit, match=message):
        predict_ray.main()
    assert not (tmp_path / "out").exists()


def test_a_killed_run_goes_on(data: Path, checkpoint: Path, expected: Found, tmp_path: Path) -> None:
    output = tmp_path / "out"
    words = arguments(data, checkpoint, output)
    code, _ = kill_midway(command(SCRIPT, *words), output, lambda driver: os.kill(driver, signal.SIGKILL))
    assert code == -signal.SIGKILL
    written = {path: path.stat().st_mtime_ns for path in output.glob("*.parquet")}
    assert "rows are done; going on with the others" in run(SCRIPT, *words)
    assert_all_there_once(output, expected)
    assert {path: path.stat().st_mtime_ns for path in written} == written
