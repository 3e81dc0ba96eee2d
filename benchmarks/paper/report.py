"""Write docs/paper.md, with its plots, from the results of run.py.

    make -C benchmarks/paper report

The words are those of report.md.jinja; every number comes from results/*.jsonl, cost.json and parameters.json.
"""

import json
import statistics
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from data_sets import DATA_SETS
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from run import AS_SHIPPED

from hf_globalpointer.evaluation.document_counts import DocumentCounts
from hf_globalpointer.evaluation.significance import compare_models
from hf_globalpointer.reports.palette import COLORS


matplotlib.use("svg")
from matplotlib import pyplot as plt


HERE = Path(__file__).parent
DOCS = HERE.parent.parent / "docs"
NAMES = {
    "efficient-global-pointer": "Efficient GlobalPointer (eq. 7)",
    "efficient-global-pointer-eq6": "Efficient GlobalPointer (eq. 6)",
    "global-pointer": "GlobalPointer",
    "bert-crf": "BERT-CRF",
    "token-classification": "token classification",
    "span-marker": "SpanMarker",
    "gliner": "GLiNER",
}
FIRST = "efficient-global-pointer"
ABLATIONS = {
    None: "as in the paper",
    "no-rope": "without RoPE",
    "bce": "binary cross-entropy",
    "unscaled": "scores not divided by sqrt(d)",
    "head-16": "d = 16",
    "head-32": "d = 32",
    "head-128": "d = 128",
    "word-aligned": "word-aligned spans only",
    "thresholds": "a threshold for each label, chosen on dev",
    AS_SHIPPED: "as shipped: joined texts, rules of the data, marks of capitals",
}
# Macro-F1 of Tables 2 and 5, with bert-base.
PAPER = {
    "peopledaily": {"bert-crf": 95.46, "global-pointer": 95.51, FIRST: 95.36},
    "cluener": {"bert-crf": 78.70, "global-pointer": 79.44, FIRST: 80.04},
    "cmeee-v2": {"bert-crf": 64.39, "global-pointer": 65.98, FIRST: 66.54},
    "conll04": {"bert-crf": 85.46, "global-pointer": 88.57},
    "genia": {"bert-crf": 73.02, "global-pointer": 74.64},
    "webnlg-star": {"global-pointer": 98.0},
    "ade": {"global-pointer": 90.1},
}

Line = dict[str, Any]


def read_results() -> list[Line]:
    """All results, those of learning rates that were not chosen left out."""
    files = sorted((HERE / "results").glob("*.jsonl"))
    lines = [json.loads(line) for file in files for line in file.read_text(encoding="utf-8").splitlines()]
    chosen: dict[tuple[str, str], tuple[float, Any]] = {}
    for line in lines:
        key = line["data"], line["system"]
        if line["ablation"] is None and line["dev_f1"] > chosen.get(key, (-1.0, None))[0] and _is_tried(line, lines):
            chosen[key] = line["dev_f1"], _rates(line)
    return [x for x in lines if x["ablation"] == AS_SHIPPED or _rates(x) == chosen[x["data"], x["system"]][1]]


def _is_tried(line: Line, lines: Sequence[Line]) -> bool:
    """Whether a line is one of the first seed, which all learning rates were tried with."""
    same = [x for x in lines if (x["data"], x["system"], x["ablation"]) == (line["data"], line["system"], None)]
    return line["seed"] == min(x["seed"] for x in same)


def _rates(line: Line) -> tuple[float, float]:
    return line["settings"].get("encoder_lr"), line["settings"].get("head_lr")


def spread(values: Iterable[float]) -> str:
    """Mean and standard deviation in percent."""
    values = [100 * value for value in values]
    return f"{statistics.mean(values):.2f}" + (f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else "")


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as a Markdown table."""
    if not rows:
        return "*No results yet.*"
    columns = list(dict.fromkeys(name for row in rows for name in row))
    lines = [columns, ["---"] * len(columns), *([str(row.get(name, "")) for name in columns] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def of(lines: Sequence[Line], data: str, system: str, ablation: str | None = None) -> list[Line]:
    """The results of a system, by seed."""
    found = [x for x in lines if (x["data"], x["system"], x["ablation"]) == (data, system, ablation)]
    return sorted(found, key=lambda line: line["seed"])


def difference(lines: Sequence[Line], data: str, system: str) -> str:
    """Test F1 against that of Efficient GlobalPointer with the same seeds, and the paired test of it.

    The documents are the units of the test; the counts of each are summed over the seeds.
    """
    others = {line["seed"]: line for line in of(lines, data, system)}
    pairs = [(line, others[line["seed"]]) for line in of(lines, data, FIRST) if line["seed"] in others]
    if system == FIRST or not pairs:
        return ""
    counts = [np.sum([np.array(pair[side]["test_counts"]) for pair in pairs], axis=0)[:, None] for side in (0, 1)]
    result = compare_models(*(DocumentCounts(("all",), each) for each in counts))["f1"]
    return f"{-100 * result.value:+.2f} (p = {result.p_value:.3g})"


def systems_table(lines: Sequence[Line], data: str) -> str:
    """Tables 2, 3 and 5: every system on a data set."""
    rows = []
    for system, name in NAMES.items():
        for ablation in (None, AS_SHIPPED):
            runs = of(lines, data, system, ablation)
            if not runs:
                continue
            rates = [f"{rate:g}" for rate in _rates(runs[0]) if rate]
            row = {
                "system": f"{name}, as shipped" if ablation else name,
                "seeds": len(runs),
                "learning rates": ", ".join(rates) or "default",
                "dev micro-F1": spread(run["dev_f1"] for run in runs),
                "test micro-F1": spread(run["test_f1"] for run in runs),
                "test macro-F1": spread(run["test"]["macro_f1"] for run in runs),
            }
            for size in runs[0]["joined"]:
                row[f"joined, {size}"] = spread(run["joined"][size]["f1"] for run in runs)
            row["against eq. 7"] = "" if ablation else difference(lines, data, system)
            row["paper (macro-F1)"] = "" if ablation else PAPER[data].get(system, "")
            rows.append(row)
    return table(rows)


def groups_table(lines: Sequence[Line], data: str) -> str:
    """Table 6: precision, recall and F1 by length and density."""
    rows = []
    for system, name in NAMES.items():
        runs = of(lines, data, system)
        for field, prefix in (("longest", "longest entity, words"), ("densities", "density")):
            for group in runs[0][field] if runs else ():
                correct, predicted, gold = (sum(run[field][group][k] for run in runs) for k in runs[0][field][group])
                rows.append(
                    {
                        "system": name,
                        "group": f"{prefix} {group}",
                        "gold entities": gold // len(runs),
                        "precision": f"{100 * correct / max(predicted, 1):.2f}",
                        "recall": f"{100 * correct / max(gold, 1):.2f}",
                        "F1": f"{200 * correct / max(predicted + gold, 1):.2f}",
                    }
                )
    return table(rows)


def ablations_table(lines: Sequence[Line], data: str) -> str:
    """Table 7, and what the paper leaves out."""
    rows = []
    for system in ("global-pointer", FIRST):
        for ablation, what in ABLATIONS.items():
            runs = of(lines, data, system, ablation)
            plain = {run["seed"]: run["test_f1"] for run in of(lines, data, system)}
            if not runs or (system == FIRST and ablation is None and len(plain) == 0):
                continue
            gains = [run["test_f1"] - plain[run["seed"]] for run in runs if run["seed"] in plain]
            rows.append(
                {
                    "system": NAMES[system],
                    "change": what,
                    "seeds": len(runs),
                    "dev micro-F1": spread(run["dev_f1"] for run in runs),
                    "test micro-F1": spread(run["test_f1"] for run in runs),
                    "against the paper's, same seeds": f"{100 * statistics.mean(gains):+.2f}" if gains else "",
                }
            )
    return table(rows)


def plots(lines: Sequence[Line]) -> Iterator[str]:
    """Draw the F1 of every run by system, on each data set with two systems or more; yields the data sets drawn."""
    for data in DATA_SETS:
        drawn = {name: of(lines, data, system) for system, name in NAMES.items() if of(lines, data, system)}
        if len(drawn) < 2:
            continue
        figure, axes = plt.subplots(figsize=(7, 0.5 * len(drawn) + 1.2), layout="constrained")
        for row, runs in enumerate(drawn.values()):
            scores = [100 * run["test_f1"] for run in runs]
            axes.plot(scores, [row] * len(scores), "o", color=COLORS[3], alpha=0.5)
            axes.plot([statistics.mean(scores)], [row], "|", color=COLORS[0], markersize=18, markeredgewidth=2.5)
        axes.set_yticks(range(len(drawn)), list(drawn))
        axes.invert_yaxis()
        axes.set_xlabel(f"test micro-F1 on {data}; a dot a seed, a bar the mean")
        axes.grid(axis="x", alpha=0.3)
        figure.savefig(DOCS / f"paper-{data}.svg", metadata={"Date": None})
        plt.close(figure)
        yield data


def main() -> None:
    """Render the page."""
    matplotlib.rcParams["svg.hashsalt"] = "paper"
    lines = read_results()
    environment = Environment(
        loader=FileSystemLoader(HERE), undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    drawn = list(plots(lines))
    data_sets = [
        {
            "name": name,
            "stand_in": data.stand_in,
            "first": next((line["first"] for line in lines if line["data"] == name), {}),
            "systems": systems_table(lines, name),
            "plot": name in drawn,
        }
        for name, data in DATA_SETS.items()
        if any(line["data"] == name for line in lines)
    ]
    page = environment.get_template("report.md.jinja").render(
        data_sets=data_sets,
        absent_systems=[name for system, name in NAMES.items() if not of(lines, "conll04", system)],
        absent_data=[name for name in DATA_SETS if not any(line["data"] == name for line in lines)],
        absent_ablations=[
            name for ablation, name in ABLATIONS.items() if not any(line["ablation"] == ablation for line in lines)
        ],
        groups=groups_table(lines, "conll04"),
        ablations=ablations_table(lines, "conll04"),
        machines=sorted({line["machine"] for line in lines}),
        versions=sorted({json.dumps(line["versions"]) for line in lines}),
        encoders=sorted({line["settings"]["encoder"] for line in lines}),
        **{name: _rows(f"{name}.json") for name in ("cost", "parameters")},
    )
    (DOCS / "paper.md").write_text(page, encoding="utf-8")


def _rows(name: str) -> str:
    """The rows of a benchmark's file as a table."""
    rows = json.loads((HERE / name).read_text(encoding="utf-8"))["rows"]
    return table([{k: f"{v:.3g}" if isinstance(v, float) else v for k, v in row.items()} for row in rows])


if __name__ == "__main__":
    main()
