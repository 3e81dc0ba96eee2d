"""The demo app, served and used in a browser."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from accessibility import broken_rules
from transformers import pipeline

from hf_globalpointer import GlobalPointerNerPipeline
from hf_globalpointer.demo.app import MAX_CHARACTERS, launch


TEXT = "Ada was in Rome"


@pytest.fixture(scope="module")
def recognizer(checkpoint: Path) -> GlobalPointerNerPipeline:
    return pipeline("global-pointer-ner", model=str(checkpoint))


@pytest.fixture(scope="module")
def url(recognizer: GlobalPointerNerPipeline) -> Iterator[str]:
    app = launch({"my-ner": recognizer}, prevent_thread_lock=True, quiet=True)
    yield app.local_url
    app.close()


@pytest.fixture
def app(page: Any, url: str) -> Any:
    page.goto(url)
    page.get_by_role("button", name="Find entities").wait_for()
    return page


def find(app: Any, text: str = "") -> None:
    app.get_by_label("Text", exact=True).fill(text)
    app.get_by_role("button", name="Find entities").click()


def upload(app: Any, path: Path) -> None:
    app.locator("input[type=file]").set_input_files(path)
    # The name stands there once the file has arrived.
    app.get_by_text(path.stem[:8]).first.wait_for()
    find(app)


def entities(app: Any) -> list[list[tuple[int, int, str]]]:
    """The entities of each text, as soon as there are any."""
    app.locator("entity-view").wait_for()
    found = app.evaluate("document.querySelector('entity-view').models[0].entities")
    return [[(entity["start"], entity["end"], entity["name"]) for entity in of_text] for of_text in found]


def expected(recognizer: GlobalPointerNerPipeline, text: str, **options: Any) -> list[tuple[int, int, str]]:
    found = recognizer(text, **options)
    return [(entity["start"], entity["end"], entity["entity_group"]) for entity in found]


def refusal(app: Any) -> str:
    """The sentence that says why there is nothing to see."""
    sentence = app.locator("p[role=alert]")
    sentence.wait_for()
    text: str = sentence.inner_text()
    assert "Traceback" not in app.content()
    assert app.locator("entity-view").count() == 0
    return text


@pytest.mark.parametrize("text", [TEXT, "上海 is 上海 (2)", "القاهرة in القاهرة", "😀 Ada\nRome"])
def test_a_text_shows_the_entities_of_the_pipeline(app: Any, recognizer: GlobalPointerNerPipeline, text: str) -> None:
    find(app, text)
    assert entities(app) == [expected(recognizer, text)]
    assert entities(app) != [[]]
    # The browser lays the text out as it was written.
    shown = app.locator("entity-view .gp-text").all_inner_texts()
    labels = app.locator("entity-view .gp-label").all_inner_texts()
    assert labels
    for label in labels:
        shown[0] = shown[0].replace(label, "", 1)
    assert "".join(shown[0].split()) == "".join(text.split())


def test_a_threshold_and_the_overlap_are_changed_without_the_model(
    app: Any, recognizer: GlobalPointerNerPipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    find(app, TEXT)
    entities(app)
    monkeypatch.setattr(GlobalPointerNerPipeline, "recognize", lambda *_: pytest.fail("the model was run"))
    app.get_by_label("Overlap").select_option("flat")
    app.get_by_label("threshold of all types").fill("0.6")
    shown = entities(app)
    monkeypatch.undo()
    assert shown == [expected(recognizer, TEXT, threshold=0.6, overlap="flat")]


def test_a_file_of_lines_is_shown_text_by_text(app: Any, recognizer: GlobalPointerNerPipeline, tmp_path: Path) -> None:
    texts = [TEXT, "ab", "Rome in 1"]
    lines = [json.dumps({"text": text}) for text in texts]
    (tmp_path / "texts.jsonl").write_text("\n".join(lines), encoding="utf-8")
    upload(app, tmp_path / "texts.jsonl")
    assert entities(app) == [expected(recognizer, text) for text in texts]
    assert app.get_by_role("heading", name="text 3").is_visible()


def test_a_plain_file_is_one_text(app: Any, recognizer: GlobalPointerNerPipeline, tmp_path: Path) -> None:
    text = f"{TEXT}\n\nab"
    (tmp_path / "novel.txt").write_text(text, encoding="utf-8")
    upload(app, tmp_path / "novel.txt")
    assert entities(app) == [expected(recognizer, text)]


def test_no_text_gets_a_sentence(app: Any) -> None:
    find(app, " \n")
    assert refusal(app) == "There is no text: write or paste one, or choose a file."


def test_a_binary_file_gets_a_sentence(app: Any, tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(range(256)))
    upload(app, tmp_path / "picture.png")
    assert refusal(app) == "picture.png is no text in UTF-8; convert it."


def test_a_file_of_10_mb_gets_a_sentence(app: Any, tmp_path: Path) -> None:
    (tmp_path / "long.txt").write_text("word " * 2_000_000)
    upload(app, tmp_path / "long.txt")
    assert refusal(app).startswith("These are 10,000,000 characters; the demo takes up to 1,000,000")


def test_a_text_that_is_too_long_gets_a_sentence(app: Any) -> None:
    find(app, "x" * (MAX_CHARACTERS + 1))
    assert refusal(app).startswith("These are 1,000,001 characters; the demo takes up to 1,000,000")


def test_what_was_found_before_goes_with_a_refusal(app: Any) -> None:
    find(app, TEXT)
    entities(app)
    find(app, "")
    assert refusal(app).startswith("There is no text")


def test_app_is_accessible(app: Any) -> None:
    find(app, TEXT)
    entities(app)
    assert broken_rules(app) == []
