"""Recognize entities in more texts than one process can, with Ray Data.

A script to copy and change. It reads JSON Lines or Parquet with the columns `id`, strings or integers, all different,
and `text`, and writes Parquet files with `id`, `text` and `entities`, as the pipeline gives them:

    pip install 'hf-globalpointer[ray]'
    python examples/predict_ray.py --model my-ner --input texts.jsonl --output found --workers 2

Each worker is a process with the pipeline. What it has recognized becomes a file of its own only when it is whole, and
a worker that dies is replaced: its texts are recognized again, into the same files. So nothing is lost and nothing
doubled, and the same command goes on where a run was broken off. Readers of Parquet pass over the names with "_".
"""

import argparse
import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import ray


ENTITY = pa.struct(
    {
        "entity_group": pa.string(),
        "score": pa.float64(),
        "word": pa.string(),
        "start": pa.int64(),
        "end": pa.int64(),
    }
)


class Recognizer:
    """A worker, with a pipeline of its own."""

    def __init__(self, model: str, output: str, run: str, batch_size: int, threads: int) -> None:
        import torch
        from transformers import pipeline

        import hf_globalpointer

        hf_globalpointer.register()  # this process has not imported the package before
        torch.set_num_threads(threads)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        self.recognize = pipeline("global-pointer-ner", model=model, device=device, batch_size=batch_size)
        self.output, self.run = Path(output), run

    def __call__(self, rows: dict[str, np.ndarray[Any, Any]]) -> dict[str, list[int]]:
        """Recognize and write some rows, and tell how many.

        Raises:
            ValueError: If a text is none.
        """
        ids, texts = rows["id"].tolist(), rows["text"].tolist()
        for id, text in zip(ids, texts, strict=True):
            if not isinstance(text, str):
                raise ValueError(f"The row with the id {id!r} has {text!r} for its text; correct it or leave it out.")
        entities = pa.array(self.recognize(texts), pa.list_(ENTITY))
        # By the name of the rows: the same rows, recognized again after a worker died, become the same file.
        name = hashlib.sha256(json.dumps(ids).encode()).hexdigest()[:16]
        partial = self.output / f"_{name}.{uuid4().hex}.partial"
        pq.write_table(pa.table({"id": ids, "text": texts, "entities": entities}), partial)
        if (self.output / "_run").read_text() != self.run:
            raise RuntimeError("Another run has taken over; this worker survived its own.")
        partial.rename(self.output / f"{name}.parquet")
        return {"rows": [len(ids)]}


def read(path: Path) -> ray.data.Dataset:
    """The rows of a file or folder, with their ids and texts only."""
    # Names with "_" or "." are not of data: those of other tools, and those that this script writes itself.
    files = [path] if path.is_file() else [each for each in path.glob("*") if each.name[0] not in "_."]
    kinds, names = {each.suffix for each in files}, [str(each) for each in sorted(files)]
    if kinds == {".parquet"}:
        rows = ray.data.read_parquet(names)
    elif kinds and kinds <= {".jsonl", ".json", ".ndjson"}:
        rows = ray.data.read_json(names, file_extensions=None)
    else:
        raise SystemExit(f"{path} is neither JSON Lines nor Parquet, nor a folder of one of them.")
    columns = rows.columns()
    if not columns:
        raise SystemExit(f"{path} holds no rows.")
    for column in ("id", "text"):
        if column not in columns:
            raise SystemExit(f"{path} has no column {column!r}; its columns are {', '.join(columns)}.")
    return rows.select_columns(["id", "text"])


def check_ids(rows: ray.data.Dataset) -> int:
    """The number of rows; ids tell which rows are done, so that all must be strings or integers, and different."""
    batches = rows.select_columns(["id"]).iter_batches(batch_size=None, batch_format="pyarrow")
    ids = [id for batch in batches for id in batch["id"].to_pylist()]
    wrong = [id for id in ids if type(id) not in (str, int)]
    if wrong:
        raise SystemExit(f"Ids must be strings or integers; {len(wrong)} are not, such as {wrong[0]!r}.")
    repeated = [id for id, count in Counter(ids).items() if count > 1]
    if repeated:
        raise SystemExit(f"{len(repeated)} ids are not the only ones of their kind, such as {repeated[0]!r}.")
    return len(ids)


def written_ids(output: Path) -> list[Any]:
    """The ids of the rows in the finished files."""
    return [id for path in output.glob("*.parquet") for id in pq.read_table(path, columns=["id"])["id"].to_pylist()]


def begin(output: Path, settings: dict[str, Any], run: str) -> set[Any]:
    """The ids of the rows that earlier runs have written, which must have had the same settings."""
    output.mkdir(parents=True, exist_ok=True)
    noted = output / "_settings.json"
    if not noted.exists() and any(output.iterdir()):
        raise SystemExit(f"{output} is not empty, and no run of this script; choose another --output.")
    done = set(written_ids(output))
    if done and json.loads(noted.read_text(encoding="utf-8")) != settings:
        raise SystemExit(f"{noted} says that the run in {output} is another; choose another --output or remove it.")
    noted.write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
    (output / "_run").write_text(run)
    for partial in output.glob("*.partial"):
        partial.unlink()
    return done


def main() -> None:
    """Read, recognize what is not done, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="checkpoint: folder or Hub id")
    parser.add_argument("--input", required=True, type=Path, help="JSON Lines or Parquet, or a folder of either")
    parser.add_argument("--output", required=True, type=Path, help="folder for the Parquet files")
    parser.add_argument("--workers", type=int, default=2, help="processes that recognize")
    parser.add_argument("--batch_size", type=int, default=32, help="texts that the encoder takes at once")
    parser.add_argument("--rows_per_file", type=int, default=512, help="rows that are written at once")
    parser.add_argument("--threads", type=int, default=1, help="threads of each worker, where there is no GPU")
    parser.add_argument("--gpus", type=float, default=0, help="GPUs of each worker")
    parser.add_argument("--address", help="of a running Ray cluster; without it, one is started on this machine")
    args = parser.parse_args()

    if args.address:
        ray.init(args.address)
    else:
        # One more than the workers take, for those that read.
        ray.init(num_cpus=args.workers + 1, include_dashboard=False)
    settings = {"model": args.model, "input": str(args.input.resolve())}
    run = uuid4().hex
    rows = read(args.input.resolve())
    total = check_ids(rows)
    done = begin(args.output, settings, run)
    if done:
        print(f"{len(done)} of {total} rows are done; going on with the others.")
        rows = rows.filter(lambda row: row["id"] not in done)
    rows.map_batches(
        Recognizer,
        fn_constructor_kwargs={
            "model": args.model,
            "output": str(args.output.resolve()),
            "run": run,
            "batch_size": args.batch_size,
            "threads": args.threads,
        },
        batch_size=args.rows_per_file,
        compute=ray.data.ActorPoolStrategy(size=args.workers),
        num_cpus=1,
        num_gpus=args.gpus,
    ).materialize()
    written = written_ids(args.output)
    if len(written) != total or len(set(written)) != total:
        raise SystemExit(
            f"{args.output} holds {len(written)} rows, {len(set(written))} of them different, and {args.input} has "
            f"{total}: was it changed? Remove the output and begin anew."
        )
    print(f"{total} rows are in {args.output}.")


if __name__ == "__main__":
    main()
