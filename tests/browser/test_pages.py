"""The pages that `predict --html` and `evaluate --report` write, as a reader uses them."""

from pathlib import Path
from typing import Any

import pytest
from accessibility import broken_rules

from conftest import Run
from hf_globalpointer import Entity, Evaluation, EvaluationReport, Example, write_examples
from hf_globalpointer.modeling.span_decoding import PredictedEntity
from hf_globalpointer.reports.palette import COLORS
from hf_globalpointer.reports.visualization import render, render_page


LABELS = ["organization", "place"]
TEXTS = ["The University of Leeds lies in Leeds.", "جامعة القاهرة, Cairo, 1908", "上海 and Leeds"]
ENTITIES = [
    [(4, 23, "organization"), (18, 23, "place"), (32, 37, "place")],
    [(0, 13, "organization"), (6, 13, "place"), (15, 20, "place")],
    [(0, 2, "place"), (7, 12, "place")],
]


def predicted(text: str, entities: list[tuple[int, int, str]]) -> list[PredictedEntity]:
    return [
        {"entity_group": label, "score": 0.9, "word": text[start:end], "start": start, "end": end}
        for start, end, label in entities
    ]


@pytest.fixture
def entities_page(page: Any, tmp_path: Path) -> Any:
    fragments = [render(text, predicted(text, found), LABELS) for text, found in zip(TEXTS, ENTITIES, strict=True)]
    (tmp_path / "page.html").write_text(render_page(fragments, "Entities of three texts", LABELS), encoding="utf-8")
    page.goto((tmp_path / "page.html").as_uri())
    return page


@pytest.fixture
def report_page(page: Any, tmp_path: Path) -> Any:
    examples = [
        Example(text, tuple(Entity(*entity) for entity in found)) for text, found in zip(TEXTS, ENTITIES, strict=True)
    ]
    # One missed, one with another label, one invented.
    changed = [ENTITIES[0][1:], [*ENTITIES[1][:2], (15, 20, "organization")], [*ENTITIES[2], (3, 6, "place")]]
    predictions = [predicted(text, found) for text, found in zip(TEXTS, changed, strict=True)]
    EvaluationReport("my-ner", "test.jsonl", Evaluation.from_predictions(examples, predictions)).save(tmp_path)
    page.goto((tmp_path / "report.html").as_uri())
    return page


def bars(page: Any) -> list[tuple[str, str]]:
    """The words of each segment, and the images of its bars."""
    found: list[tuple[str, str]] = page.evaluate(
        """[...document.querySelectorAll(".gp-segment")].map((segment) =>
            [segment.lastChild.textContent, getComputedStyle(segment).backgroundImage])"""
    )
    return [(words, image) for words, image in found]


def css_color(color: str) -> str:
    return "rgb({}, {}, {})".format(*(int(color[place : place + 2], 16) for place in (1, 3, 5)))


def test_entities_have_bars_of_the_color_in_the_legend(entities_page: Any) -> None:
    organization, place = map(css_color, COLORS[:2])
    found = bars(entities_page)
    assert [words for words, _ in found[:3]] == ["University of ", "Leeds", "Leeds"]
    assert organization in found[0][1]
    assert place not in found[0][1]
    assert organization in found[1][1]
    assert place in found[1][1]
    swatches = entities_page.locator(".gp-legend i").evaluate_all(
        "found => found.map((swatch) => getComputedStyle(swatch).backgroundImage)"
    )
    assert [color in swatch for color, swatch in zip((organization, place), swatches, strict=True)] == [True, True]


def test_labels_stand_under_their_words_and_on_nothing_else(entities_page: Any) -> None:
    labels = entities_page.locator(".gp-label")
    boxes = [labels.nth(index).bounding_box() for index in range(labels.count())]
    assert len(boxes) == sum(map(len, ENTITIES))
    for index, box in enumerate(boxes):
        for other in boxes[index + 1 :]:
            apart = (
                box["x"] + box["width"] <= other["x"]
                or other["x"] + other["width"] <= box["x"]
                or box["y"] + box["height"] <= other["y"]
                or other["y"] + other["height"] <= box["y"]
            )
            assert apart
    # From right to left, an entity and its label begin at the right.
    segment = entities_page.locator(".gp-text").nth(1).locator(".gp-segment").first
    right = segment.bounding_box()["x"] + segment.bounding_box()["width"]
    label = segment.locator(".gp-label").first.bounding_box()
    assert abs(label["x"] + label["width"] - right) < 1


def test_bars_end_where_their_entities_do(entities_page: Any) -> None:
    """A little is left open at the end: at the right, and in text from right to left at the left."""
    places = entities_page.locator(".gp-segment").evaluate_all(
        """found => found.map((segment) => {
            const style = getComputedStyle(segment);
            return [style.direction, style.backgroundPositionX.split(", ")[0], style.backgroundSize.split(", ")[0]];
        })"""
    )
    assert {place[:2] for place in map(tuple, places)} == {("ltr", "0%"), ("rtl", "100%")} or {
        place[:2] for place in map(tuple, places)
    } == {("ltr", "0px"), ("rtl", "100%")}
    assert {size.startswith("100%") for _, _, size in places} == {True, False}


def test_a_type_is_switched_off_and_on_by_mouse_and_by_keyboard(entities_page: Any) -> None:
    place = css_color(COLORS[1])
    label = entities_page.locator(".gp-label", has_text="place")
    assert label.first.is_visible()
    entities_page.get_by_label("place").click()
    assert not any(label.nth(index).is_visible() for index in range(label.count()))
    assert not any(place in image for _, image in bars(entities_page))
    assert entities_page.locator(".gp-label", has_text="organization").first.is_visible()
    entities_page.get_by_label("organization").focus()
    entities_page.keyboard.press("Tab")
    entities_page.keyboard.press("Space")
    assert label.first.is_visible()
    assert any(place in image for _, image in bars(entities_page))


def test_the_title_of_words_tells_label_and_score(entities_page: Any) -> None:
    segment = entities_page.locator(".gp-segment", has_text="Leeds").first
    assert segment.get_attribute("title") == "organization 0.900\nplace 0.900"


def test_entities_page_is_accessible(entities_page: Any) -> None:
    assert broken_rules(entities_page) == []


def test_report_hides_errors_of_a_type_and_folds_kinds(report_page: Any) -> None:
    errors = report_page.locator(".gp-error")
    assert errors.count() == 3
    assert [errors.nth(index).is_visible() for index in range(3)] == [True] * 3
    report_page.get_by_label("organization").uncheck()
    visible = [errors.nth(index).inner_text() for index in range(3) if errors.nth(index).is_visible()]
    assert len(visible) == 2
    assert not any("gold organization" in text for text in visible)
    report_page.get_by_label("organization").check()
    report_page.locator("summary", has_text="missed").click()
    assert [errors.nth(index).is_visible() for index in range(3)].count(True) == 2


def test_report_is_accessible(report_page: Any) -> None:
    assert broken_rules(report_page) == []


def test_page_of_the_command_line_opens(checkpoint: Path, page: Any, run: Run, tmp_path: Path) -> None:
    write_examples([Example("Ada was in Rome"), Example("ab")], tmp_path / "texts.jsonl")
    options = ["--model", checkpoint, "--input", tmp_path / "texts.jsonl", "--output", tmp_path / "found.jsonl"]
    code, _, err = run("predict", *options, "--html", tmp_path / "page.html")
    assert code == 0, err
    page.goto((tmp_path / "page.html").as_uri())
    assert page.locator(".gp-text").count() == 2
    assert page.get_by_role("checkbox").count() == 3
    assert broken_rules(page) == []
