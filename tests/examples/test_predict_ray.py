import json
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
from transformers import pipeline

from launching import ROOT


sys.path.insert(0, str(ROOT / "examples"))
import predict_ray


TEXTS = 240
Found = dict[str, list[dict[str, object]]]
Recognize = Callable[..., None]


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
def cluster() -> Iterator[None]:
    """A Ray cluster, started once for all runs."""
    # Its workers import what they are sent by name, and know nothing of the folder of examples.
    ray.cloudpickle.register_pickle_by_value(predict_ray)
    ray.init(num_cpus=3, include_dashboard=False)
    yield
    ray.shutdown()


@pytest.fixture
def recognize(cluster: None, monkeypatch: pytest.MonkeyPatch) -> Recognize:
    """The script, in this process."""

    def run(data: Path, checkpoint: Path, output: Path, *more: object) -> None:
        words = ["--model", checkpoint, "--input", data, "--output", output, "--rows_per_file", 8, "--batch_size", 4]
        monkeypatch.setattr(ray, "init", lambda **options: None)
        monkeypatch.setattr(sys, "argv", [str(word) for word in ("", *words, *more)])
        predict_ray.main()

    return run


def assert_all_there_once(output: Path, expected: Found) -> None:
    table = pq.read_table(output)
    assert sorted(table["id"].to_pylist()) == sorted(expected)
    for row in table.to_pylist():
        found = [(entity | {"score": pytest.approx(entity["score"], abs=1e-5)}) for entity in row["entities"]]
        assert expected[row["id"]] == found


def files(output: Path) -> dict[Path, int]:
    """The finished files, and when each was written."""
    return {path: path.stat().st_mtime_ns for path in output.glob("*.parquet")}


def kill_a_worker_midway(output: Path, written: list[int]) -> None:
    """Kill one once some files are written, and note how many there were then."""
    while len(files(output)) < 3:
        time.sleep(0.001)
    # Those of the cluster, which this process has started.
    family = psutil.Process().children(recursive=True)
    next(process for process in family if "MapWorker" in "".join(process.cmdline()[:1])).kill()
    written.append(len(files(output)))


def test_a_killed_worker_loses_and_doubles_nothing_and_a_run_that_was_broken_off_goes_on(
    data: Path, checkpoint: Path, expected: Found, tmp_path: Path, recognize: Recognize, capsys: pytest.CaptureFixture
) -> None:
    output = tmp_path / "out"
    written: list[int] = []
    threading.Thread(target=kill_a_worker_midway, args=[output, written], daemon=True).start()
    recognize(data, checkpoint, output)
    assert written
    assert written[0] < len(files(output)) == TEXTS / 8
    assert_all_there_once(output, expected)

    # As a run leaves it that is killed: some files, and one that is not whole.
    for path in sorted(files(output))[::2]:
        path.unlink()
    (output / "_0123.4567.partial").write_bytes(b"PAR1")
    kept = files(output)
    assert kept
    recognize(data, checkpoint, output)
    assert "rows are done; going on with the others" in capsys.readouterr().out
    assert_all_there_once(output, expected)
    assert kept.items() <= files(output).items()
    assert not list(output.glob("*.partial"))


def test_its_own_output_is_an_input(checkpoint: Path, expected: Found, tmp_path: Path, recognize: Recognize) -> None:
    source = tmp_path / "first"
    source.mkdir()
    texts = {f"n{index}": text for index, text in enumerate(("ada met bob.", "", "abcd " * 15))}
    found = pipeline("global-pointer-ner", model=str(checkpoint))(list(texts.values()))
    rows = {"id": list(texts), "text": list(texts.values()), "entities": pa.array(found, pa.list_(predict_ray.ENTITY))}
    pq.write_table(pa.table(rows), source / "a.parquet")
    (source / "_SUCCESS").touch()  # as other tools write
    recognize(source, checkpoint, tmp_path / "second", "--workers", 1)
    assert_all_there_once(tmp_path / "second", dict(zip(texts, found, strict=True)))


def test_a_worker_that_survived_its_run_writes_nothing(checkpoint: Path, tmp_path: Path) -> None:
    (tmp_path / "_run").write_text("another")
    worker = predict_ray.Recognizer(str(checkpoint), str(tmp_path), "one", batch_size=4, threads=1)
    with pytest.raises(RuntimeError, match="Another run has taken over"):
        worker({"id": np.array(["n0"], object), "text": np.array(["ada"], object)})
    assert not files(tmp_path)


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([1, None, None], "Ids must be strings or integers; 2 are not, such as None"),
        ([1.5, 2.5], r"Ids must be strings or integers; 2 are not, such as [12]\.5\."),
        (["a", "b", "a"], "1 ids are not the only ones of their kind, such as 'a'"),
        ([], "holds no rows"),
    ],
)
def test_wrong_ids_are_told_and_leave_no_trace(
    ids: list[object], message: str, checkpoint: Path, tmp_path: Path, recognize: Recognize
) -> None:
    source = tmp_path / "texts.jsonl"
    source.write_text("".join(json.dumps({"id": id, "text": "abc"}) + "\n" for id in ids))
    with pytest.raises(SystemExit, match=message):
        recognize(source, checkpoint, tmp_path / "out")
    assert not (tmp_path / "out").exists()
