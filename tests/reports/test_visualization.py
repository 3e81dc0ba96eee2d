import re
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings, strategies as st

from hf_globalpointer.modeling.span_decoding import PredictedEntity
from hf_globalpointer.reports.visualization import render, render_page, stream_page


VOID = {"meta", "input"}


@dataclass
class Segment:
    """A part of the text that lies in the same entities."""

    text: str
    titles: list[str]
    # The fill and the place of each of its bars, and whether the bar ends with the segment.
    bars: list[tuple[str, float, bool]]
    # The entities that begin with it.
    labels: list[str]


class Reader(HTMLParser):
    """Checks that tags balance; collects the visible text, the segments, and all else by tag."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.segments: list[Segment] = []
        self.texts: dict[str, str] = {}
        self.visible = ""
        self.declaration = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_decl(self, decl: str) -> None:
        self.declaration = decl

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag in VOID:
            return
        self.open.append((tag, values))
        if values.get("class") == "gp-segment":
            bars = re.findall(
                r"(var\([^ ]*\)) var\(--gp-side,0\) ([\d.]+)em/(.*?) \.18em no-repeat", str(values["style"])
            )
            found = [(fill, float(top), width != "100%") for fill, top, width in bars]
            self.segments.append(Segment("", str(values["title"]).split("\n"), found, []))
        if values.get("class") == "gp-label":
            self.segments[-1].labels.append("")

    def handle_endtag(self, tag: str) -> None:
        opened, _ = self.open.pop()
        assert opened == tag

    def handle_data(self, data: str) -> None:
        tag, values = self.open[-1] if self.open else ("", {})
        if values.get("class") == "gp-label":
            self.segments[-1].labels[-1] += data
            return
        self.texts[tag] = self.texts.get(tag, "") + data
        if any(outer.get("class") == "gp-text" for _, outer in self.open):
            self.visible += data
        if values.get("class") == "gp-segment":
            self.segments[-1].text += data

    @property
    def entities(self) -> list[tuple[str, str]]:
        """The text and label of each entity, put together from its segments, in the order in which they begin."""
        found: list[list[str]] = []
        going_on: dict[float, list[str]] = {}
        for segment in self.segments:
            begun = iter(segment.labels)
            for _, top, ends in segment.bars:
                if top not in going_on:
                    going_on[top] = ["", next(begun)]
                    found.append(going_on[top])
                going_on[top][0] += segment.text
                if ends:
                    del going_on[top]
            assert next(begun, None) is None
        assert going_on == {}
        return [(text, label) for text, label in found]


def entity(start: int, end: int, label: str = "person", score: float = 0.9) -> PredictedEntity:
    return {"entity_group": label, "score": score, "word": "", "start": start, "end": end}


def fills(html: str) -> dict[str, str]:
    """The fill of each label, of entities of one segment."""
    return {segment.labels[0]: segment.bars[0][0] for segment in Reader(html).segments}


def test_text_without_entities_is_escaped() -> None:
    text = "a < b & c > d \"e\" 'f' <script>alert(1)</script> &amp;"
    html = render(text, [])
    assert Reader(html).visible == text
    assert "<script" not in html
    assert Reader(html).segments == []


def test_text_of_entities_is_escaped() -> None:
    text = "<b>&lt;</b> & <i>"
    read = Reader(render(text, [entity(0, 11), entity(3, 7), entity(14, 17)]))
    assert read.visible == text
    assert read.entities == [("<b>&lt;</b>", "person"), ("&lt;", "person"), ("<i>", "person")]


def test_label_is_escaped() -> None:
    label = "\"><img src=x onerror='x'>"
    read = Reader(render("ab", [entity(0, 1, label)]))
    assert read.entities == [("a", label)]
    assert read.segments[0].titles == [f"{label} 0.900"]


def test_empty_text() -> None:
    read = Reader(render("", []))
    assert (read.visible, read.segments) == ("", [])


def test_title_has_label_and_score_of_every_entity() -> None:
    read = Reader(render("Ada met Bob", [entity(8, 11, "person", 0.98765), entity(4, 11, "event", 0.5)]))
    assert [(segment.text, segment.titles) for segment in read.segments] == [
        ("met ", ["event 0.500"]),
        ("Bob", ["event 0.500", "person 0.988"]),
    ]


def test_nested_entities_lie_in_lanes_of_their_own() -> None:
    read = Reader(render("abcdefg", [entity(2, 3, "c"), entity(0, 6, "a"), entity(4, 6, "d"), entity(0, 3, "b")]))
    assert read.entities == [("abcdef", "a"), ("abc", "b"), ("c", "c"), ("ef", "d")]
    assert read.visible == "abcdefg"
    outer, middle, inner, last = (next(s.bars[-1][1] for s in read.segments if name in s.labels) for name in "bbcd")
    assert outer == middle < inner
    # The label of "b" is out of the way where "d" begins.
    assert last == middle


def test_one_span_with_two_labels_has_two_bars() -> None:
    read = Reader(render("abc", [entity(1, 2, "y"), entity(1, 2, "x")]))
    assert read.entities == [("b", "x"), ("b", "y")]
    assert len({top for _, top, _ in read.segments[0].bars}) == 2


def test_neighbors_with_room_for_their_labels_share_a_lane() -> None:
    read = Reader(render("abcdef", [entity(0, 3, "x"), entity(3, 6, "y")]))
    assert len({bar[1] for segment in read.segments for bar in segment.bars}) == 1
    assert [segment.bars[0][2] for segment in read.segments] == [True, True]


def test_labels_do_not_lie_on_one_another() -> None:
    read = Reader(render("abcdef", [entity(0, 1, "a long label"), entity(2, 3, "y")]))
    assert len({bar[1] for segment in read.segments for bar in segment.bars}) == 2


def test_crossing_entities_share_their_words() -> None:
    read = Reader(render("abcdefgh", [entity(0, 4, "x"), entity(2, 6, "y")]))
    assert read.visible == "abcdefgh"
    assert [(segment.text, segment.labels, len(segment.bars)) for segment in read.segments] == [
        ("ab", ["x"], 1),
        ("cd", ["y"], 2),
        ("ef", [], 1),
    ]
    assert read.entities == [("abcd", "x"), ("cdef", "y")]


def test_label_keeps_its_color_from_text_to_text() -> None:
    labels = ["date", "person", "place"]
    first = fills(render("ab", [entity(0, 1, "person"), entity(1, 2, "place")], labels))
    second = fills(render("ab", [entity(0, 1, "place"), entity(1, 2, "date")], labels))
    assert first["place"] == second["place"]
    assert len({first["person"], first["place"], second["date"]}) == 3


def test_label_outside_the_given_ones_has_a_color_of_its_own() -> None:
    html = render("abc", [entity(0, 1, "new"), entity(1, 2, "date"), entity(2, 3, "person")], ["date", "person"])
    assert len(set(fills(html).values())) == 3


def test_many_labels_have_different_fills_until_they_begin_again() -> None:
    labels = [f"label-{i}" for i in range(25)]
    found = fills(render("a" * 25, [entity(i, i + 1, label) for i, label in enumerate(labels)], labels))
    shown = [re.search(r"--gp-fill-(\d+)", fill)[1] for fill in found.values()]
    assert shown == [*(str(index) for index in range(24)), "0"]


def test_direction_is_left_to_the_letters_of_the_text() -> None:
    # What HTML calls `auto` passes over a `bdi`, so that a label has no say.
    html = render("1988 كانت", [entity(0, 4, "date")])
    assert html.startswith('<div class="gp-text" dir="auto"')
    assert re.search(r"<bdi [^>]*>date</bdi>1988", html)


def test_lone_surrogate_can_be_written_to_a_file() -> None:
    page = render_page([render("ab \ud800 c", [entity(3, 4, "\udfff")])], "\ud800")
    assert "�" in Reader(page.encode("utf-8").decode("utf-8")).visible


def test_fragment_is_text_that_a_notebook_shows_with_its_styles() -> None:
    fragment = render("ab", [entity(0, 1)])
    assert isinstance(fragment, str)
    html = fragment._repr_html_()
    assert html.endswith(fragment)
    assert Reader(html).entities == [("a", "person")]
    # Nothing but what is ours is styled.
    selectors = re.findall(r"^(.*?) \{", Reader(html).texts["style"], flags=re.MULTILINE)
    assert selectors == [".gp-text, .gp-legend", ".gp-text", ".gp-segment:dir(rtl)", ".gp-segment", ".gp-label"]


def test_page_comes_as_its_fragments_do() -> None:
    drawn = []

    def fragments() -> Iterator[str]:
        for index in range(3):
            drawn.append(index)
            yield render(f"text {index}", [])

    parts = []
    for part in stream_page(fragments(), "t"):
        parts.append(part)
        assert len(drawn) == sum('<div class="gp-text"' in part for part in parts)
    assert "".join(parts) == render_page(fragments(), "t")


def test_page_is_whole() -> None:
    fragments = [render("a < b {x}", [entity(0, 1)]), render("second", [entity(0, 6), entity(3, 6, "place")])]
    html = render_page(iter(fragments), "Rome & <b>Ada</b> {title}")
    read = Reader(html)
    assert read.declaration == "DOCTYPE html"
    assert read.texts["title"] == read.texts["h1"] == "Rome & <b>Ada</b> {title}"
    assert read.visible == "a < b {x}second"
    assert read.entities == [("a", "person"), ("second", "person"), ("ond", "place")]
    assert [html.count(f"<{tag}") for tag in ("html", "title", "style>", "body", "h1")] == [1] * 5
    assert html.rstrip().endswith("</html>")


def test_page_styles_every_class_that_is_used() -> None:
    html = render_page([render("abcdefgh", [entity(0, 4, "x"), entity(2, 6, "y")], ["x", "y"])], "t", ["x", "y"])
    used = {name for names in re.findall(r'class="([^"]+)"', html) for name in names.split()}
    assert used == {"gp-text", "gp-segment", "gp-label", "gp-legend"}
    assert used <= set(re.findall(r"\.(gp-\w+) \{", Reader(html).texts["style"]))


def test_page_has_a_switch_for_every_label() -> None:
    labels = ["<x>", "y"]
    html = render_page([render("ab", [entity(0, 1, "y")], labels)], "t", labels)
    assert re.findall(r'<input type="checkbox" id="gp-type-(\d)"', html) == ["0", "1"]
    assert "&lt;x&gt;" in html
    # What is switched off has no bar, and no label.
    assert "body:has(#gp-type-1:not(:checked)) { --gp-label-1: none; " in html
    assert "var(--gp-label-1,var(--gp-fill-1))" in html


def test_page_without_texts() -> None:
    assert Reader(render_page([], "none")).visible == ""


@pytest.mark.parametrize("order", [1, -1])
def test_entities_may_come_in_any_order_and_once(order: int) -> None:
    entities = [entity(0, 4, "x"), entity(1, 2, "y"), entity(3, 6, "z")]
    assert render("abcdef", iter(entities[::order])) == render("abcdef", entities)


@settings(max_examples=300)
@given(
    text=st.text(st.sampled_from("ab<>&\"' \n;#é😀") | st.characters(codec="utf-8"), min_size=1, max_size=20),
    data=st.data(),
)
def test_every_entity_has_its_words_and_no_two_share_a_place(text: str, data: st.DataObject) -> None:
    bounds = st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).filter(lambda pair: pair[0] < pair[1])
    labels = st.sampled_from(["x", "y & z", "<w>"])
    drawn = data.draw(st.lists(st.tuples(bounds, labels), max_size=8, unique=True))
    read = Reader(render(text, [entity(*pair, label) for pair, label in drawn]))
    assert read.visible == text
    assert sorted(read.entities) == sorted((text[start:end], label) for (start, end), label in drawn)
    for segment in read.segments:
        assert len({top for _, top, _ in segment.bars}) == len(segment.bars) == len(segment.titles)


@pytest.mark.parametrize(("start", "end"), [(3, 3), (-1, 2), (5, 11), (4, 2)])
def test_what_is_no_part_of_the_text_is_refused(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="No part of a text of 10 characters"):
        render("abcdefghij", [entity(start, end)])
