"""Finding the spans over the threshold against the textbook: dense scores, a comparison, `nonzero`.

    python benchmarks/decoding.py

Scores as a trained model gives them: low almost everywhere, with 20 planted spans a sample.
"""

from collections.abc import Callable
from typing import Any

import textbook
import torch
from harness import medians, report

from hf_globalpointer import SpanScores


DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def trained_like(kind: str, batch: int, n: int, types: int) -> SpanScores:
    """Factors of scores far below 0, with 20 spans of each sample planted well over it."""
    torch.manual_seed(0)
    heads = types if kind == "full" else 1
    query, key = torch.randn(2, batch, heads, n, 64) * 0.35
    start = end = None
    if kind == "full":
        query[..., 0], key[..., 0] = 3.0, -2.0
    else:
        start, end = torch.randn(2, batch, types, n) - 8
    for b in range(batch):
        for first in torch.randint(0, n - 5, (20,)).tolist():
            a, last = int(torch.randint(0, types, ())), first + int(torch.randint(0, 5, ()))
            if start is None or end is None:
                direction = query[b, a, first, 1:]
                key[b, a, last, 1:] += 12 * direction / direction.square().sum()
            else:
                start[b, a, first] += 11
                end[b, a, last] += 11
    mask = torch.ones(batch, 2, n, dtype=torch.bool)
    parts = [part if part is None else part.to(DEVICE) for part in (query, key, start, end)]
    return SpanScores(*parts, mask.to(DEVICE))


def main() -> None:
    """Measure and write the table."""
    rows: list[dict[str, Any]] = []
    for kind, shape in [("efficient", (8, 512, 66)), ("full", (8, 512, 10)), ("efficient", (32, 128, 10))]:
        scores = trained_like(kind, *shape)
        found = scores.above(0.0)
        count = int((found.spans[..., 0] >= 0).sum())
        if count != len(textbook.above(scores, 0.0)):
            raise SystemExit(f"{kind} {shape}: the two find different spans")
        candidates: dict[str, Callable[[], Any]] = {
            "ours": lambda scores=scores: scores.above(0.0),
            "textbook": lambda scores=scores: textbook.above(scores, 0.0),
        }
        times = medians(candidates, 9)
        rows.append(
            {
                "head": kind,
                "(batch, n, types)": str(shape),
                "spans found": count,
                "ours": f"{times['ours'] * 1e3:.1f} ms",
                "textbook": f"{times['textbook'] * 1e3:.1f} ms",
                "ratio": times["textbook"] / times["ours"],
            }
        )
    report(__file__, "Finding the spans over a threshold", rows)


if __name__ == "__main__":
    with torch.no_grad():
        main()
