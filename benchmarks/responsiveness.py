"""How long a reader waits for an answer: in the demo app, the report, and a page, with 5,000 entities in one text.

    python benchmarks/responsiveness.py

Headless Chromium, found as `chromium`. The text has 200,000 characters, in lines of 40 or all in one line, 5,000
entities of ten types, a fifth of them nested, and as many spans that are less probable than any threshold. Each
interaction is done 11 times; from the event until the next frame has been painted. The report shows 1,000 errors of
each kind.
"""

import html
import json
import random
import shutil
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from harness import report
from playwright.sync_api import sync_playwright

from hf_globalpointer import Entity, Evaluation, EvaluationReport, Example
from hf_globalpointer.demo.app import page_head
from hf_globalpointer.modeling.span_decoding import CharSpan, entities_of
from hf_globalpointer.reports.visualization import render, render_page


COUNT, LINE, TYPES, REPEATS = 5_000, 40, 10, 11
LABELS = [f"type {index}" for index in range(TYPES)]
# Set a value and wait until the next frame is painted: a task that follows one of its callbacks.
MEASURE = """async ([selector, values]) => {
    const times = [];
    for (const value of values) {
        const view = document.querySelector("entity-view");
        const control = (view?.shadowRoot ?? document).querySelector(selector);
        const begin = performance.now();
        if (control.type === "checkbox") control.checked = value; else control.value = value;
        control.dispatchEvent(new Event("input", {bubbles: true}));
        control.dispatchEvent(new Event("change", {bubbles: true}));
        await new Promise((done) => requestAnimationFrame(() => {
            const channel = new MessageChannel();
            channel.port1.onmessage = done;
            channel.port2.postMessage(0);
        }));
        times.push(performance.now() - begin);
    }
    return times;
}"""


def data() -> tuple[str, list[tuple[int, int, int, float, float]]]:
    """A text, and start, end, label, probability and score of its entities."""
    choose = random.Random(0)
    lines, spans = [], []
    for index in range(COUNT):
        begin = index * LINE
        words = ["".join(choose.choices("abcdefgh", k=4)) for _ in range(8)]
        lines.append(" ".join(words)[: LINE - 1] + "\n")
        start = begin + (5 if index % 5 else 10)
        end = start + (9 if index % 5 else 4)
        spans.append((start, end, choose.randrange(TYPES), choose.uniform(0.5, 1), choose.gauss(3, 1)))
        if index % 5 == 0:
            # One around it, in place of that of the line before.
            spans[-3 if index else -1] = (begin + 5, begin + 19, 0, choose.uniform(0.5, 1), 5.0)
        spans.append((start, end + 5, choose.randrange(TYPES), choose.uniform(0.05, 0.5), choose.gauss(-1, 1)))
    return "".join(lines), sorted(set(spans))


def view_page(text: str, spans: list[tuple[int, int, int, float, float]]) -> str:
    """The view of the demo app on a page of its own."""
    model = {"name": "m", "thresholds": [0.5] * TYPES, "least": [0.05] * TYPES, "overlap": "nested", "spans": [spans]}
    content = {"labels": LABELS, "texts": [{"title": "text", "text": text}], "models": [model]}
    return f'{page_head()}<entity-view content="{html.escape(json.dumps(content))}"></entity-view>'


def save_report(text: str, spans: list[tuple[int, int, int, float, float]], folder: str) -> None:
    """A report of predictions that miss half of the entities and name a quarter wrong."""
    gold = tuple(Entity(start, end, LABELS[label]) for start, end, label, _, _ in spans)
    found = [
        CharSpan(start, end, LABELS[(label + index % 4 // 3) % TYPES], probability)
        for index, (start, end, label, probability, _) in enumerate(spans)
        if index % 2
    ]
    evaluation = Evaluation.from_predictions([Example(text, gold)], [entities_of(text, found)], LABELS)
    EvaluationReport("m", "d", evaluation, max_errors=1_000).save(folder)


def measure(page: Any, what: str, interactions: dict[str, tuple[str, list[Any]]]) -> list[dict[str, Any]]:
    """A row for each interaction."""
    page.wait_for_timeout(1_000)
    rows = []
    for name, (selector, values) in interactions.items():
        times = page.evaluate(MEASURE, [selector, (values * REPEATS)[:REPEATS]])
        rows.append({"page": what, "interaction": name, "median ms": statistics.median(times), "most ms": max(times)})
    return rows


def main() -> None:
    """Measure and write the table."""
    text, candidates = data()
    spans = [span for span in candidates if span[3] > 0.5]
    in_view = {
        "threshold of a type": ("[aria-label='threshold of type 3']", [0.6, 0.7, 0.8, 0.9]),
        "threshold of all types": ("[aria-label='threshold of all types']", [0.6, 0.7, 0.8, 0.9, 0.5]),
        "a type off and on": ("input[type=checkbox]", [False, True]),
        "overlap": ("select", ["flat", "all", "nested"]),
    }
    rows = []
    with sync_playwright() as playwright, TemporaryDirectory() as folder:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        for what, shown in (("demo, lines", text), ("demo, one line", text.replace("\n", " "))):
            page = browser.new_page()
            page.set_content(view_page(shown, candidates))
            rows += measure(page, what, in_view)
            page.locator("summary", has_text="Table").click()
            rows += measure(page, f"{what}, table open", in_view)
        save_report(text, spans, folder)
        page = browser.new_page()
        page.goto((Path(folder) / "report.html").as_uri())
        rows += measure(page, "report", {"a type off and on": ("#gp-type-3", [False, True])})
        page = browser.new_page()
        found = entities_of(
            text, [CharSpan(start, end, LABELS[label], score) for start, end, label, score, _ in spans]
        )
        page.set_content(render_page([render(text, found, LABELS)], "Entities", LABELS))
        rows += measure(page, "predict --html", {"a type off and on": ("#gp-type-3", [False, True])})
        browser.close()
    report(__file__, f"Milliseconds until an interaction shows, {len(spans):,} entities in one text", rows)


if __name__ == "__main__":
    main()
