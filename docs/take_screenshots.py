"""Takes the screenshots of README and documentation: `make screenshots`.

    python docs/take_screenshots.py demo-output/checkpoint

The model is that of `make demo`, and the texts are the sample sentences, so that anyone can take them again.
"""

import shutil
import sys
from importlib.resources import files
from pathlib import Path
from tempfile import TemporaryDirectory

from playwright.sync_api import Page, sync_playwright
from transformers import pipeline

from hf_globalpointer import Evaluation, EvaluationReport, GlobalPointerNerPipeline, explain_misses, read_examples
from hf_globalpointer.demo.app import launch


FOLDER = Path(__file__).parent
SAMPLES = str(files("hf_globalpointer.data") / "samples" / "test.jsonl")
WIDTH = 900


def take_demo(page: Page, recognizer: GlobalPointerNerPipeline, path: Path) -> None:
    """The demo app with a few sentences."""
    texts = [example.text for example in read_examples(SAMPLES)]
    app = launch({"my-ner": recognizer}, prevent_thread_lock=True, quiet=True)
    page.goto(app.local_url)
    page.get_by_label("Text", exact=True).fill("\n".join(texts[:6]))
    page.get_by_role("button", name="Find entities").click()
    page.locator("entity-view .gp-segment").first.wait_for()
    # Until Gradio's own veil has lifted.
    page.wait_for_timeout(2_000)
    page.screenshot(path=path, full_page=True)
    app.close()


def take_report(page: Page, recognizer: GlobalPointerNerPipeline, path: Path) -> None:
    """The errors of the report."""
    examples = list(read_examples(SAMPLES))
    predictions = recognizer([example.text for example in examples], batch_size=16)
    with TemporaryDirectory() as folder:
        evaluation = Evaluation.from_predictions(examples, predictions, recognizer.labels)
        misses = explain_misses(recognizer, evaluation.documents)
        EvaluationReport("my-ner", "test.jsonl", evaluation, max_errors=3, misses=misses).save(folder)
        page.goto((Path(folder) / "report.html").as_uri())
        page.locator(".gp-kind").first.evaluate("kind => kind.scrollIntoView()")
        # What comes into sight is laid out in the next frame.
        page.wait_for_timeout(500)
        page.screenshot(path=path)


def main() -> None:
    """Write the pictures beside this file."""
    recognizer = pipeline("global-pointer-ner", model=sys.argv[1])
    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        page = browser.new_page(viewport={"width": WIDTH, "height": 700})
        take_demo(page, recognizer, FOLDER / "demo-app.png")
        take_report(page, recognizer, FOLDER / "report.png")
        browser.close()


if __name__ == "__main__":
    main()
