"""The element `<entity-view>` on a page of its own."""

import csv
import html
import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from accessibility import broken_rules

from hf_globalpointer.demo.app import page_head
from hf_globalpointer.modeling.span_decoding import CharSpan, entities_of, select_spans
from hf_globalpointer.reports.visualization import render


LABELS = ["organization", "place"]
TEXT = "The 😀 University of Leeds & <b>Leeds</b>."
# Start, end, label, probability, score. The place within is more probable, but the scores compete.
SPANS = [[6, 25, 0, 0.8, 5.0], [20, 25, 1, 0.9, 4.0], [31, 36, 1, 0.6, 1.0], [4, 16, 1, 0.3, 0.5]]


def content(texts: Sequence[str] = (TEXT,), *models: list[Any], overlap: str = "nested") -> dict[str, Any]:
    """What an element shows: of each model, the spans of every text."""
    return {
        "labels": LABELS,
        "texts": [{"title": f"text {number}", "text": text} for number, text in enumerate(texts, start=1)],
        "models": [
            {"name": name, "thresholds": [0.5, 0.5], "least": [0.05, 0.05], "overlap": overlap, "spans": spans}
            for name, spans in zip(("first", "second"), models or [[SPANS]], strict=False)
        ],
    }


def show(page: Any, content: dict[str, Any]) -> Any:
    element = f'<entity-view content="{html.escape(json.dumps(content))}"></entity-view>'
    style = "<style>:root { color-scheme: light dark; }</style>"
    page.set_content(
        f'<!DOCTYPE html><html lang="en"><head><title>Entities</title>{style}{page_head()}</head>'
        f"<body><main><h1>Entities</h1>{element}</main></body></html>"
    )
    return page.locator("entity-view")


def shown(page: Any) -> list[tuple[str, int, int, str]]:
    """Model, start, end and label of all entities that are chosen."""
    found = page.evaluate(
        """document.querySelector("entity-view").models.flatMap((model) => model.entities.flatMap((entities) =>
            entities.map(({start, end, name}) => [model.name, start, end, name])))"""
    )
    return [tuple(entity) for entity in found]


def slide(page: Any, name: str, value: float) -> None:
    page.get_by_label(f"threshold of {name}", exact=True).fill(str(value))


def random_spans(seed: int) -> tuple[str, list[list[float]]]:
    """A text with characters of one and two code units, and distinct spans, some of which score the same."""
    choose = random.Random(seed)
    text = "".join(choose.choice("ab é\n東😀<&\"'") for _ in range(choose.randint(1, 40)))
    spans = {}
    for _ in range(choose.randint(0, 25)):
        start = choose.randrange(len(text))
        score = choose.choice([choose.uniform(-2, 5), 1.0])
        end = choose.randint(start + 1, min(len(text), start + 8))
        spans[start, end, choose.randrange(2)] = [choose.choice([0.3, 0.7, 0.9]), score]
    return text, [[*place, *values] for place, values in spans.items()]


@pytest.mark.parametrize("overlap", ["all", "nested", "flat"])
def test_choice_and_drawing_are_those_of_the_package(page: Any, overlap: str) -> None:
    texts, spans = zip(*(random_spans(seed) for seed in range(40)), strict=True)
    show(page, content(list(texts), list(spans), overlap=overlap))
    chosen = page.evaluate(
        """() => {
            const view = document.querySelector("entity-view");
            for (const piece of view.pieces.keys()) view.draw(piece);
            return view.texts.map((_, index) => ({
                spans: view.models[0].entities[index].map(({start, end, name}) => [start, end, name]),
                html: [...view.pieces.keys()][index].outerHTML,
            }));
        }"""
    )
    for text, found, result in zip(texts, spans, chosen, strict=True):
        over = [CharSpan(a, b, LABELS[label], score) for a, b, label, probability, score in found if probability > 0.5]
        expected = select_spans(over, overlap)
        assert [tuple(span) for span in result["spans"]] == [span[:3] for span in expected]
        probabilities = {(a, b, LABELS[label]): probability for a, b, label, probability, _ in found}
        entities = entities_of(text, [span._replace(score=probabilities[span[:3]]) for span in expected])
        # As a browser writes it.
        drawn = page.evaluate(
            "html => { const box = document.createElement('template'); box.innerHTML = html; return box.innerHTML; }",
            render(text, entities, LABELS),
        )
        assert result["html"].replace('style="--gp-lanes: ', 'style="--gp-lanes:').replace(';">', '">') == drawn


def test_entities_are_those_over_their_thresholds(page: Any) -> None:
    view = show(page, content())
    assert shown(page) == [("first", 6, 25, "organization"), ("first", 20, 25, "place"), ("first", 31, 36, "place")]
    assert view.get_by_role("status").inner_text() == "3 entities"
    slide(page, "place", 0.7)
    assert shown(page) == [("first", 6, 25, "organization"), ("first", 20, 25, "place")]
    slide(page, "all types", 0.85)
    assert shown(page) == [("first", 20, 25, "place")]
    assert view.get_by_role("status").inner_text() == "1 entity"
    # What was in the way of another is not when it is no entity.
    slide(page, "all types", 0.1)
    assert ("first", 4, 16, "place") not in shown(page)
    slide(page, "organization", 0.95)
    assert ("first", 4, 16, "place") in shown(page)


def test_words_and_labels_are_on_the_screen(page: Any) -> None:
    view = show(page, content())
    text = view.locator(".gp-text")
    assert [segment.split("\n")[-1] for segment in text.locator(".gp-segment").all_inner_texts()] == [
        "University of ",
        "Leeds",
        "Leeds",
    ]
    assert text.locator(".gp-label").all_inner_texts() == ["organization", "place", "place"]
    assert text.locator(".gp-segment").nth(1).get_attribute("title") == "organization 0.800\nplace 0.900"
    slide(page, "place", 0.7)
    assert text.locator(".gp-label").all_inner_texts() == ["organization", "place"]


def test_types_are_switched_and_overlap_is_chosen_by_keyboard(page: Any) -> None:
    view = show(page, content())
    view.get_by_label("organization").first.focus()
    page.keyboard.press("Space")
    assert {entity[3] for entity in shown(page)} == {"place"}
    page.keyboard.press("Space")
    page.keyboard.press("Tab")
    for _ in range(35):
        page.keyboard.press("ArrowRight")
    assert {entity[3] for entity in shown(page)} == {"place"}
    assert "0.85" in view.locator(".number").first.inner_text()
    slide(page, "organization", 0.5)
    view.get_by_label("Overlap").focus()
    page.keyboard.press("End")
    assert shown(page) == [("first", 6, 25, "organization"), ("first", 31, 36, "place")]


def test_downloads_hold_what_is_shown(page: Any, tmp_path: Path) -> None:
    view = show(page, content(["x", TEXT], [[], SPANS]))
    slide(page, "organization", 0.85)
    for button, name in (("Download JSON", "first.jsonl"), ("Download table", "first.csv")):
        with page.expect_download() as download:
            view.get_by_role("button", name=button).click()
        assert download.value.suggested_filename == name
        download.value.save_as(tmp_path / name)
    lines = [json.loads(line) for line in (tmp_path / "first.jsonl").read_text(encoding="utf-8").splitlines()]
    found = [{"start": 20, "end": 25, "label": "place", "score": 0.9}]
    found.append({"start": 31, "end": 36, "label": "place", "score": 0.6})
    # Where "organization" is none, the span that crosses it is still too improbable.
    assert lines == [{"text": "x", "entities": []}, {"text": TEXT, "entities": found}]
    with (tmp_path / "first.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file)) == [
            ["title", "start", "end", "label", "score", "word"],
            ["text 2", "20", "25", "place", "0.900", "Leeds"],
            ["text 2", "31", "36", "place", "0.600", "Leeds"],
        ]


def test_table_comes_in_parts(page: Any) -> None:
    text = "ab " * 500
    spans = [[3 * index, 3 * index + 2, 1, 0.9, 2.0] for index in range(500)]
    view = show(page, content([text], [spans]))
    view.locator("summary", has_text="Table: 500 entities").click()
    rows = view.locator("tbody tr")
    assert rows.count() == 200
    assert rows.first.locator("td").all_inner_texts() == ["place", "0.900", "ab", "text 1", "0", "2"]
    view.get_by_role("button", name="More: 300").click()
    view.get_by_role("button", name="More: 100").click()
    assert rows.count() == 500
    assert not view.get_by_role("button", name="More").is_visible()
    slide(page, "place", 0.95)
    assert rows.count() == 0


def test_two_models_are_compared(page: Any) -> None:
    view = show(page, content([TEXT], [SPANS], [[SPANS[0], [31, 36, 0, 0.9, 3.0]]]))
    assert view.get_by_role("status").inner_text() == "both: 1, only first: 2, only second: 1"
    left, right = (view.get_by_role("group", name=name, exact=True) for name in ("first", "second"))
    assert left.bounding_box()["x"] < right.bounding_box()["x"]
    view.get_by_label("Only what the other lacks").check()
    assert [entity[:3] for entity in shown(page)] == [("first", 20, 25), ("first", 31, 36), ("second", 31, 36)]


def test_new_content_takes_the_place_of_the_old(page: Any) -> None:
    view = show(page, content())
    page.evaluate(
        "content => document.querySelector('entity-view').setAttribute('content', content)",
        json.dumps(content(["Rome"], [[[0, 4, 1, 0.9, 2.0]]])),
    )
    assert view.locator(".gp-text").count() == 1
    assert shown(page) == [("first", 0, 4, "place")]


def test_only_what_is_in_sight_is_drawn(page: Any) -> None:
    text = ("word " * 7 + "Leeds\n") * 5_000
    spans = [[41 * index + 35, 41 * index + 40, index % 2, 0.6, 2.0] for index in range(5_000)]
    assert len(text) == 205_000
    view = show(page, content([text], [spans]))
    page.wait_for_function("document.querySelector('entity-view').inSight.size > 0")
    drawn = "[...document.querySelector('entity-view').pieces.values()].filter((piece) => piece.isCurrent).length"
    assert view.locator(".gp-text").count() > 200
    assert 0 < page.evaluate(drawn) < 20
    slide(page, "place", 0.7)
    assert view.get_by_role("status").inner_text() == "2500 entities"
    assert 0 < page.evaluate(drawn) < 20
    # Scrolled to, the end is drawn as is true by then.
    view.locator(".gp-text").last.scroll_into_view_if_needed()
    view.locator(".gp-text").last.locator(".gp-segment").last.wait_for()
    assert set(view.locator(".gp-text").last.locator(".gp-label").all_inner_texts()) == {"organization"}


def test_formulas_are_no_formulas_in_the_table(page: Any) -> None:
    view = show(page, content(["=1+1 and -2"], [[[0, 4, 0, 0.9, 2.0], [9, 11, 1, 0.9, 2.0]]]))
    assert view.evaluate("view => view.models[0].toCsv()").count("\"'") == 2


def test_labels_that_a_model_does_not_know_have_no_controls(page: Any) -> None:
    shown_content = content([TEXT], [SPANS], [SPANS[:1]])
    shown_content["models"][1] |= {"thresholds": [0.5, None], "least": [0.05, None]}
    view = show(page, shown_content)
    assert view.get_by_label("threshold of organization", exact=True).count() == 2
    assert view.get_by_label("threshold of place", exact=True).count() == 1


def test_the_threshold_of_all_types_has_a_number_where_they_have_the_same(page: Any) -> None:
    view = show(page, content())
    number = view.locator(".type", has_text="all types").locator(".number")
    assert number.inner_text() == "0.50"
    slide(page, "place", 0.6)
    assert number.inner_text() == ""
    slide(page, "all types", 0.7)
    assert view.locator(".number").all_inner_texts() == ["0.70"] * 3


@pytest.mark.parametrize("models", [1, 2])
def test_view_is_accessible(page: Any, models: int) -> None:
    view = show(page, content(["x", TEXT], *[[[], SPANS], [[], SPANS[:1]]][:models]))
    view.locator("summary", has_text="Table").first.click()
    assert broken_rules(page) == []
