import json
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hf_globalpointer.data import Entity, Example
from hf_globalpointer.evaluation.document_counts import count_by_label
from hf_globalpointer.evaluation.error_analysis import ErrorKind
from hf_globalpointer.evaluation.evaluation import Evaluation
from hf_globalpointer.evaluation.metrics import score_predictions
from hf_globalpointer.evaluation.missed_entities import MissedEntity, MissReason
from hf_globalpointer.evaluation.significance import compare_models
from hf_globalpointer.reports.evaluation_report import EvaluationReport
from hf_globalpointer.reports.evaluation_tables import Comparison


EXAMPLES = [
    Example("Ada met Bob in New York City", (Entity(0, 3, "p"), Entity(8, 11, "p"), Entity(15, 28, "l")), id="first"),
    Example("no one & <nowhere>"),
    Example("x " * 200 + "Rome" + " y" * 200, (Entity(400, 404, "l"),)),
]


def predicted(label: str, start: int, end: int) -> dict[str, Any]:
    return {"entity_group": label, "score": 0.75, "word": "", "start": start, "end": end}


PREDICTIONS = [
    [predicted("p", 0, 3), predicted("l", 8, 11), predicted("l", 15, 23)],
    [predicted("|[/b]", 9, 18)],
    [],
]


@pytest.fixture
def evaluation() -> Evaluation:
    return Evaluation.from_predictions(EXAMPLES, PREDICTIONS, ["p", "l"])


@pytest.fixture
def report(evaluation: Evaluation) -> EvaluationReport:
    other = Evaluation.from_predictions(EXAMPLES, [PREDICTIONS[0], [], []], evaluation.labels)
    counts = [count_by_label(each.documents, evaluation.labels) for each in (evaluation, other)]
    return EvaluationReport(
        "a <model>", "d|ata", evaluation, Comparison("other", compare_models(*counts, resamples=50))
    )


def cells(markdown: str, title: str) -> dict[str, list[str]]:
    section = markdown.split(f"## {title}\n")[1].split("\n## ")[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line.startswith("|")]
    return {name: values for name, *values in rows[2:]}


class Page(HTMLParser):
    """What a page says, checked for tags that close in order."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.text = ""
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs
        if tag not in ("meta", "input", "path", "circle"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += attrs

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_scores_are_those_of_score_predictions(evaluation: Evaluation) -> None:
    assert evaluation.types.metrics == score_predictions(EXAMPLES, PREDICTIONS, ["p", "l"])
    assert evaluation.labels == ["p", "l", "|[/b]"]
    content = evaluation.to_dict()
    assert content["micro"]["f1"]["value"] == evaluation.types.metrics.micro.f1
    assert content["micro"]["f1"]["low"] <= content["micro"]["f1"]["value"] <= content["micro"]["f1"]["high"]
    assert content["macro"]["recall"]["value"] == evaluation.types.metrics.macro["recall"]
    assert content["expected_calibration_error"] == pytest.approx(0.5)
    assert content["reliability"][7] == {
        "low": 0.7, "high": 0.8, "predicted": 4, "probability": 0.75, "precision": 0.25
    }  # fmt: skip
    assert content["types"]["p"] | {"correct": 1, "predicted": 1, "gold": 2} == content["types"]["p"]
    assert content["error_kinds"] == {
        "wrong label": 1, "wrong boundary": 1, "wrong label and boundary": 0, "missed": 1, "spurious": 1
    }  # fmt: skip
    assert {"gold": "p", "predicted": "l", "count": 1} in content["confusion"]
    assert content["errors"][0] == {
        "kind": "wrong label",
        "document": 0,
        "id": "first",
        "source": None,
        "gold": {"start": 8, "end": 11, "label": "p", "word": "Bob"},
        "predicted": {"start": 8, "end": 11, "label": "l", "word": "Bob"},
    }
    for name, group in (("lengths", "< 3"), ("longest", "3-5"), ("densities", ">= 0.3")):
        assert content[name][group]["gold"] > 0


def test_the_folder_holds_all_three(report: EvaluationReport, tmp_path: Path) -> None:
    report.save(tmp_path / "new" / "report")
    report.save(tmp_path / "new" / "report")  # a report may be made again
    assert {path.name for path in (tmp_path / "new" / "report").iterdir()} == {
        "report.md", "report.json", "report.html"
    }  # fmt: skip
    content = json.loads((tmp_path / "new" / "report" / "report.json").read_text())
    assert content == json.loads(json.dumps(report.to_dict()))
    assert (content["model"], content["comparison"]["other"]) == ("a <model>", "other")
    assert content["comparison"]["differences"]["f1"]["interval"].keys() == {"low", "high"}


def test_markdown_tables(report: EvaluationReport) -> None:
    markdown = report.to_markdown()
    types = cells(markdown, "By type")
    assert list(types) == ["p", "l", "&#124;\\[/b\\]", "micro", "macro"]
    assert re.fullmatch(r"0\.2500 \(0\.\d{4} to 0\.\d{4}\)", types["micro"][0])
    assert types["micro"][-3:] == ["4", "4", "1"]
    assert cells(markdown, "Confusion of labels")["p"] == ["1", "1", "0", "0"]
    assert cells(markdown, "What must be correct")["start and end"][-1] == "2"
    assert len(cells(markdown, "Compared with another model")) == 6
    assert cells(markdown, "By probability") == {"0.7 to 0.8": ["4", "0.7500", "0.2500"]}
    # Every row of a table has as many cells as its header.
    for table in re.findall(r"(?:^\|.*\n)+", markdown, re.MULTILINE):
        assert len({line.count("|") for line in table.splitlines()}) == 1


def test_the_page_stands_alone_and_shows_errors_in_their_texts(report: EvaluationReport) -> None:
    page = report.to_html()
    read = Page(page)
    assert not {name for name, _ in read.attributes} & {"src", "href"}
    assert "url(" not in page
    assert read.text.count("Shown: 1 of 1.") == 4
    assert "first: gold p “Bob”; predicted l “Bob”" in read.text
    assert "… " in read.text  # the long text is an excerpt,
    assert "x " * 51 not in read.text  # of so much
    assert "no one & <nowhere>" in read.text
    plots = [row for row in page.split("<tr>") if "<circle" in row.partition("</tr>")[0]]
    assert len(plots) == 5 + 2 + 2 + 2  # a group of each kind has nothing to score
    # The reliability of four predictions of 0.75, one of them correct: 0 is at 30 and 195, 1 at 210 and 15.
    assert '<circle cx="165.0" cy="150.0" r="10.0"' in page


def test_why_entities_were_missed_stands_beside_them(report: EvaluationReport) -> None:
    gold = Entity(8, 11, "p")
    misses = [MissedEntity(0, gold, MissReason.under_threshold, 0.4444, 0.5)]
    misses += [
        MissedEntity(error.document, error.gold, MissReason.improbable, None, 0.5)
        for error in report.evaluation.errors.errors
        if error.gold not in (None, gold)
    ]
    assert {error["why"] for error in report.to_dict()["errors"]} == {None}
    assert "Why gold entities" not in report.to_html()
    explained = replace(report, misses=misses)
    errors = explained.to_dict()["errors"]
    assert errors[0]["why"] == misses[0].to_dict()
    assert all((error["why"] is None) == (error["gold"] is None) for error in errors)
    text = Page(explained.to_html()).text
    assert "first: gold p “Bob” (probability 0.4444, threshold 0.5000); predicted l “Bob”" in text
    assert cells(explained.to_markdown(), "Why gold entities were not found")["p"] == ["0", "0", "1", "0", "0"]


def test_errors_are_named_by_id_and_place() -> None:
    texts = [
        Example("Ada", (Entity(0, 3, "p"),), id=7, source="/folder/dev.conll:12"),
        Example("Bob", (Entity(0, 3, "p"),), source="dev.conll:19"),
        Example("Eve", (Entity(0, 3, "p"),)),
    ]
    report = EvaluationReport("m", "d", Evaluation.from_predictions(texts, [[]] * 3))
    text = Page(report.to_html()).text
    assert all(name in text for name in ("7, dev.conll:12: gold p", "dev.conll:19: gold p", "text 3: gold p"))
    assert [error["source"] for error in report.to_dict()["errors"]] == ["/folder/dev.conll:12", "dev.conll:19", None]


def test_only_so_many_errors_are_shown(evaluation: Evaluation) -> None:
    many = Evaluation.from_predictions([EXAMPLES[2]] * 30, [[]] * 30)
    read = Page(EvaluationReport("m", "d", many, max_errors=3).to_html())
    assert "Shown: 3 of 30." in read.text
    assert read.text.count("gold l “Rome”") == 3
    assert str(ErrorKind.spurious) not in read.text.split("Confusion")[1]


def test_lone_surrogates_do_no_harm(tmp_path: Path) -> None:
    example = Example("a \ud800 b", (Entity(2, 3, "x\udfff"),))
    EvaluationReport("m", "d", Evaluation.from_predictions([example], [[]])).save(tmp_path)
    for name, label in (("report.md", "x&#57343;"), ("report.json", "x\\udfff"), ("report.html", "x&#57343;")):
        assert label in (tmp_path / name).read_text(encoding="utf-8")


def test_nothing_found_and_nothing_to_find() -> None:
    report = EvaluationReport("m", "d", Evaluation.from_predictions([Example("a")], [[]]))
    assert "0.0000" not in Page(report.to_html()).text
    markdown = report.to_markdown()
    assert "0.0000" not in markdown
    assert cells(markdown, "By type")["micro"] == ["-", "-", "-", "0", "0", "0"]
    assert cells(markdown, "By type")["macro"][:3] == ["-", "-", "-"]
    assert cells(markdown, "By length of the entity")["< 3"] == ["-", "-", "-", "0", "0", "0"]
    assert cells(markdown, "What must be correct")["type"] == ["-", "-", "-", "0", "0", "0"]
    with pytest.raises(ValueError, match="no documents"):
        Evaluation.from_predictions([], [])


def test_types_that_do_not_occur_have_no_scores(tmp_path: Path) -> None:
    report = EvaluationReport("m", "d", Evaluation.from_predictions([Example("a", (Entity(0, 1, "x"),))], [[]], ["y"]))
    types = cells(report.to_markdown(), "By type")
    assert types["y"] == ["-", "-", "-", "0", "0", "0"]
    assert types["x"][0].startswith("0.0000 ")  # of an entity that was not found
    assert "y---000" in Page(report.to_html()).text
    report.save(tmp_path)
    content = json.loads((tmp_path / "report.json").read_text(), parse_constant=pytest.fail)
    assert content["types"]["y"]["f1"] == {"value": 0.0, "low": None, "high": None}


def test_entities_that_go_on_beyond_an_excerpt_are_shown() -> None:
    text = "a " * 100 + "Rome" + " b" * 100
    example = Example(text, (Entity(0, len(text), "whole"), Entity(200, 204, "l"), Entity(0, 2, "far")))
    found = [[predicted("far", 0, 2), predicted("whole", 0, len(text))]]
    report = EvaluationReport("m", "d", Evaluation.from_predictions([example], found))
    page = report.to_html()
    # Around the entity that was missed, and in one piece where nothing was predicted.
    assert page.count('title="whole 1.000"') == 2
    assert page.count('title="whole 1.000\nl 1.000"') == page.count('title="whole 0.750"') == 1
    assert 'title="far' not in page
    # Its bar takes in the dots on either side.
    assert re.search(r'title="whole 1.000"[^>]*><bdi class="gp-label"[^>]*>whole</bdi>… ', page)
    assert re.search(r'title="whole 1.000"[^>]*>( b)+ …</span>', page)


def test_errors_of_a_type_can_be_hidden(report: EvaluationReport) -> None:
    page = report.to_html()
    assert page.count('type="checkbox"') == 3
    # The type of an error is that of its gold entity, if it has one.
    wrong_label = page.split("<summary>Errors: wrong label</summary>")[1].split("</details>")[0]
    assert re.findall(r'class="gp-error" data-label="(\d)"', wrong_label) == ["0"]
    assert 'body:has(#gp-type-0:not(:checked)) .gp-error[data-label="0"] { display: none; }' in page


def test_offsets_may_be_those_of_numpy(tmp_path: Path) -> None:
    found = [[predicted("p", np.int64(0), np.int64(2))], [], []]  # type: ignore[arg-type]
    EvaluationReport("m", "d", Evaluation.from_predictions(EXAMPLES, found)).save(tmp_path)
    assert json.loads((tmp_path / "report.json").read_text())["micro"]["predicted"] == 1
