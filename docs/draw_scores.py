"""Draws spans.svg and factors.svg, the figures of scores.md: `python docs/draw_scores.py`."""

from pathlib import Path

import matplotlib as mpl
from matplotlib import pyplot as plt

from hf_globalpointer.reports.palette import COLORS


ORGANIZATION, PLACE = COLORS[:2]
WORDS = ["The", "University", "of", "Leeds", "lies", "in", "Leeds"]
ENTITIES = {(1, 3): ("organization", ORGANIZATION), (3, 3): ("place", PLACE), (6, 6): ("place", PLACE)}
# Texts, tokens, and the size of queries and keys.
BATCH, N, SIZE = 8, 512, 64
BYTES = 4


def draw_spans(path: Path) -> None:
    """The spans of a sentence as cells, and its entities."""
    figure, axes = plt.subplots(figsize=(5.4, 4.2))
    for start in range(len(WORDS)):
        for end in range(start, len(WORDS)):
            _, color = ENTITIES.get((start, end), ("", "0.93"))
            axes.add_patch(plt.Rectangle((end - 0.45, start - 0.45), 0.9, 0.9, color=color))
    for (start, end), (label, _) in ENTITIES.items():
        axes.text(end, start, label, ha="center", va="center", fontsize=6, color="white")
    places = range(len(WORDS))
    axes.set_xticks(places, WORDS, rotation=30)
    axes.set_yticks(places, WORDS)
    axes.set(xlim=(-0.6, len(WORDS) - 0.4), ylim=(len(WORDS) - 0.4, -0.6), xlabel="end", ylabel="start")
    for side in axes.spines.values():
        side.set_visible(False)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


def draw_factors(path: Path) -> None:
    """Megabytes of the scores and of the factors of Efficient GlobalPointer."""
    types = range(1, 101)
    scores = [BATCH * number * N * N * BYTES / 1e6 for number in types]
    factors = [BATCH * N * (2 * SIZE + 2 * number) * BYTES / 1e6 for number in types]
    figure, axes = plt.subplots(figsize=(5.4, 3.4))
    axes.plot(types, scores, color=COLORS[0], label="scores")
    axes.plot(types, factors, color=COLORS[1], label="queries, keys, starts and ends")
    axes.set(yscale="log", xlabel="types", ylabel="MB", title=f"{BATCH} texts of {N} tokens, float32")
    axes.legend(frameon=False)
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})


def main() -> None:
    """Write the figures beside this file."""
    mpl.use("svg")
    # The same bytes each time.
    mpl.rcParams["svg.hashsalt"] = "hf-globalpointer"
    folder = Path(__file__).parent
    draw_spans(folder / "spans.svg")
    draw_factors(folder / "factors.svg")


if __name__ == "__main__":
    main()
