import re
from collections.abc import Iterator
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings, strategies as st

from hf_globalpointer.modeling.span_decoding import PredictedEntity
from hf_globalpointer.reports.visualization import render, render_page, stream_page


VOID = {"meta"}


class Reader(HTMLParser):
    """Checks that tags balance; collects the visible text, the boxes with what they hold, and all else by tag."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[tuple[str, dict[str, str | None]]] = []
        self.pieces: list[dict[str, str]] = []
        self.open_pieces: list[dict[str, str]] = []
        self.texts: dict[str, str] = {}
        self.visible = ""
        self.depth = 0
        self.declaration = ""
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_decl(self, decl: str) -> None:
        self.declaration = decl

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in VOID:
            return
        values = dict(attrs)
        self.open.append((tag, values))
        if "gp-entity" in (values.get("class") or "").split():
            piece = {name: str(values[name]) for name in ("class", "style", "title")}
            self.pieces.append({**piece, "dir": values.get("dir") or "", "text": "", "label": ""})
            self.open_pieces.append(self.pieces[-1])
            self.depth = max(self.depth, len(self.open_pieces))

    def handle_endtag(self, tag: str) -> None:
        opened, values = self.open.pop()
        assert opened == tag
        if "gp-entity" in (values.get("class") or "").split():
            self.open_pieces.pop()

    def handle_data(self, data: str) -> None:
        tag, values = self.open[-1] if self.open else ("", {})
        if values.get("class") == "gp-label":
            self.open_pieces[-1]["label"] += data
            return
        self.texts[tag] = self.texts.get(tag, "") + data
        if any(outer.get("class") == "gp-text" for _, outer in self.open):
            self.visible += data
            for piece in self.open_pieces:
                piece["text"] += data

    @property
    def boxes(self) -> list[tuple[str, str]]:
        return [(piece["text"], piece["label"]) for piece in self.pieces]


def entity(start: int, end: int, label: str = "person", score: float = 0.9) -> PredictedEntity:
    return {"entity_group": label, "score": score, "word": "", "start": start, "end": end}


def color_of(html: str, label: str) -> str:
    (style,) = {piece["style"] for piece in Reader(html).pieces if piece["label"] == label}
    return style


def dashed(piece: dict[str, str]) -> str:
    """The sides on which an entity goes on."""
    return piece["class"].removeprefix("gp-entity").strip().replace("gp-", "")


def inside(piece: dict[str, str]) -> int:
    (number,) = re.findall(r"--gp-inside: (\d+);", piece["style"])
    return int(number)


def test_text_without_entities_is_escaped() -> None:
    text = "a < b & c > d \"e\" 'f' <script>alert(1)</script> &amp;"
    html = render(text, [])
    assert Reader(html).visible == text
    assert "<script" not in html
    assert Reader(html).pieces == []


def test_text_of_entities_is_escaped() -> None:
    text = "<b>&lt;</b> & <i>"
    read = Reader(render(text, [entity(0, 11), entity(3, 7), entity(14, 17)]))
    assert read.visible == text
    assert read.boxes == [("<b>&lt;</b>", "person"), ("&lt;", "person"), ("<i>", "person")]


def test_label_is_escaped() -> None:
    label = "\"><img src=x onerror='x'>"
    read = Reader(render("ab", [entity(0, 1, label)]))
    assert read.boxes == [("a", label)]
    assert read.pieces[0]["title"] == f"{label} 0.900"


def test_empty_text() -> None:
    read = Reader(render("", []))
    assert (read.visible, read.pieces) == ("", [])


def test_box_has_label_and_score() -> None:
    read = Reader(render("Ada met Bob", [entity(8, 11, "person", 0.98765)]))
    assert read.boxes == [("Bob", "person")]
    assert read.pieces[0]["title"] == "person 0.988"
    assert read.pieces[0]["class"] == "gp-entity"


def test_nested_entities_are_boxes_within_boxes() -> None:
    entities = [entity(2, 3, "c"), entity(0, 6, "a"), entity(4, 6, "d"), entity(0, 3, "b")]
    read = Reader(render("abcdefg", entities))
    assert read.boxes == [("abcdef", "a"), ("abc", "b"), ("c", "c"), ("ef", "d")]
    assert read.depth == 3
    assert read.visible == "abcdefg"
    assert {piece["class"] for piece in read.pieces} == {"gp-entity"}


def test_one_span_with_two_labels_is_two_boxes() -> None:
    read = Reader(render("abc", [entity(1, 2, "y"), entity(1, 2, "x")]))
    assert read.boxes == [("b", "x"), ("b", "y")]
    assert read.depth == 2


def test_neighbors_are_not_nested() -> None:
    read = Reader(render("abcd", [entity(0, 2), entity(2, 4)]))
    assert read.boxes == [("ab", "person"), ("cd", "person")]
    assert read.depth == 1


def test_crossing_entities_are_split() -> None:
    read = Reader(render("abcdefgh", [entity(0, 4, "x"), entity(2, 6, "y")]))
    assert read.visible == "abcdefgh"
    assert read.boxes == [("abcd", "x"), ("cd", ""), ("ef", "y")]
    assert [piece["class"] for piece in read.pieces] == ["gp-entity", "gp-entity gp-after", "gp-entity gp-before"]
    assert [piece["title"] for piece in read.pieces[1:]] == ["y 0.900", "y 0.900"]
    assert read.pieces[1]["style"] == read.pieces[2]["style"]


def test_entity_is_split_at_every_entity_that_it_crosses() -> None:
    read = Reader(render("abcdefgh", [entity(0, 3, "x"), entity(1, 5, "y"), entity(4, 7, "z")]))
    assert read.boxes == [("abc", "x"), ("bc", ""), ("de", "y"), ("e", ""), ("fg", "z")]
    assert [dashed(piece) for piece in read.pieces] == ["", "after", "before", "after", "before"]


def test_pieces_nest_after_a_split() -> None:
    read = Reader(render("abcdefgh", [entity(0, 3, "x"), entity(1, 5, "y"), entity(2, 7, "z")]))
    assert read.boxes == [("abc", "x"), ("bc", ""), ("c", ""), ("defg", "z"), ("de", "y")]
    assert [inside(piece) for piece in read.pieces] == [2, 1, 0, 1, 0]


def test_piece_between_two_crossings_is_dashed_on_both_sides() -> None:
    read = Reader(render("abcdefgh", [entity(0, 3, "a"), entity(1, 7, "b"), entity(4, 6, "c"), entity(5, 8, "d")]))
    assert read.boxes == [("abc", "a"), ("bc", ""), ("defg", "b"), ("ef", "c"), ("f", ""), ("g", ""), ("h", "d")]
    assert [dashed(piece) for piece in read.pieces] == ["", "after", "before", "", "after", "before after", "before"]


def test_box_knows_how_many_boxes_it_must_be_higher_than() -> None:
    bounds = [(0, 9), (0, 3), (4, 9), (4, 6), (5, 6), (7, 8)]
    read = Reader(render("abcdefghi", [entity(*pair) for pair in bounds]))
    assert [(piece["text"], inside(piece)) for piece in read.pieces] == [
        ("abcdefghi", 3),
        ("abc", 0),
        ("efghi", 2),
        ("ef", 1),
        ("f", 0),
        ("h", 0),
    ]


def test_label_keeps_its_color_from_text_to_text() -> None:
    labels = ["date", "person", "place"]
    first = render("ab", [entity(0, 1, "person"), entity(1, 2, "place")], labels)
    second = render("ab", [entity(0, 1, "place"), entity(1, 2, "date")], labels)
    assert color_of(first, "place") == color_of(second, "place")
    assert len({color_of(first, "person"), color_of(first, "place"), color_of(second, "date")}) == 3


def test_label_outside_the_given_ones_has_a_color_of_its_own() -> None:
    html = render("abc", [entity(0, 1, "new"), entity(1, 2, "date"), entity(2, 3, "person")], ["date", "person"])
    assert len({color_of(html, label) for label in ("new", "date", "person")}) == 3


def test_many_labels_have_different_colors() -> None:
    labels = [f"label-{i}" for i in range(40)]
    read = Reader(render("a" * 40, [entity(i, i + 1, label) for i, label in enumerate(labels)], labels))
    assert len({piece["style"] for piece in read.pieces}) == 40


@pytest.mark.parametrize(
    ("text", "direction"),
    [
        ("Rome", "ltr"),
        ("רומא (Rome)", "rtl"),
        ("القاهرة", "rtl"),
        ("1988 كانت", "rtl"),
        ("上海", "ltr"),
        ("1988, (!)", ""),
        ("", ""),
    ],
)
def test_direction_is_that_of_the_first_letter(text: str, direction: str) -> None:
    opening = '<div class="gp-text">' if not direction else f'<div class="gp-text" dir="{direction}">'
    assert render(text, []).startswith(opening)


def test_entity_has_a_direction_of_its_own() -> None:
    # The label of "1988" comes before the first letter of the text, and says nothing of its direction.
    text = "1988 جامعة Hebrew University"
    html = render(text, [entity(0, 4, "date"), entity(5, 10), entity(11, 28), entity(0, 28)])
    read = Reader(html)
    assert [(piece["text"], piece["dir"]) for piece in read.pieces] == [
        (text, "rtl"),
        ("1988", ""),
        ("جامعة", "rtl"),
        ("Hebrew University", "ltr"),
    ]
    assert html.startswith('<div class="gp-text" dir="rtl">')


def test_lone_surrogate_can_be_written_to_a_file() -> None:
    page = render_page([render("ab \ud800 c", [entity(3, 4, "\udfff")])], "\ud800")
    assert "�" in Reader(page.encode("utf-8").decode("utf-8")).visible


def test_fragment_is_text_that_a_notebook_shows_with_its_styles() -> None:
    fragment = render("ab", [entity(0, 1)])
    assert isinstance(fragment, str)
    html = fragment._repr_html_()
    assert html.endswith(fragment)
    assert Reader(html).boxes == [("a", "person")]
    # Nothing but what is ours is styled.
    selectors = re.findall(r"^(.*?) \{", Reader(html).texts["style"], flags=re.MULTILINE)
    assert selectors == [".gp-text", ".gp-entity", ".gp-before", ".gp-after", ".gp-label"]


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
    assert read.boxes == [("a", "person"), ("second", "person"), ("ond", "place")]
    assert [html.count(f"<{tag}") for tag in ("html", "title", "style>", "body", "h1")] == [1] * 5
    assert html.rstrip().endswith("</html>")


def test_page_styles_every_class_that_is_used() -> None:
    html = render_page([render("abcdefgh", [entity(0, 4, "x"), entity(2, 6, "y")])], "t")
    used = {name for names in re.findall(r'class="([^"]+)"', html) for name in names.split()}
    assert used == {"gp-text", "gp-entity", "gp-before", "gp-after", "gp-label"}
    assert used <= set(re.findall(r"\.(gp-\w+) \{", Reader(html).texts["style"]))


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
def test_boxes_balance_and_text_stays(text: str, data: st.DataObject) -> None:
    bounds = st.tuples(st.integers(0, len(text)), st.integers(0, len(text))).filter(lambda pair: pair[0] < pair[1])
    labels = st.sampled_from(["x", "y & z", "<w>"])
    drawn = data.draw(st.lists(st.tuples(bounds, labels), max_size=8, unique=True))
    read = Reader(render(text, [entity(*pair, label) for pair, label in drawn]))
    assert read.visible == text
    assert sorted(piece["label"] for piece in read.pieces if piece["label"]) == sorted(label for _, label in drawn)
    for label in {label for _, label in drawn}:
        pieces = "".join(piece["text"] for piece in read.pieces if piece["title"] == f"{label} 0.900")
        assert len(pieces) == sum(pair[1] - pair[0] for pair, other in drawn if other == label)


@settings(max_examples=100)
@given(st.sets(st.sampled_from([(0, 8), (0, 4), (4, 8), (0, 2), (2, 4), (4, 6), (6, 8), (1, 2), (5, 6)])))
def test_entities_that_do_not_cross_are_never_split(bounds: set[tuple[int, int]]) -> None:
    text = "abcdefgh"
    read = Reader(render(text, [entity(*pair) for pair in bounds]))
    ordered = sorted(bounds, key=lambda pair: (pair[0], -pair[1]))
    assert read.boxes == [(text[start:end], "person") for start, end in ordered]
    assert {piece["class"] for piece in read.pieces} <= {"gp-entity"}


def test_whole_piece_around_a_split_one_is_not_dashed() -> None:
    read = Reader(render("abcdefghij", [entity(0, 4, "x"), entity(2, 6, "y"), entity(4, 8, "z")]))
    assert read.boxes == [("abcd", "x"), ("cd", ""), ("efgh", "z"), ("ef", "y")]
    assert [dashed(piece) for piece in read.pieces] == ["", "after", "", "before"]


@settings(max_examples=300)
@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 10)).filter(lambda p: p[0] < p[1]), max_size=8))
def test_exactly_the_pieces_without_label_go_on(bounds: list[tuple[int, int]]) -> None:
    pieces = Reader(render("abcdefghij", [entity(*pair) for pair in bounds])).pieces
    for piece in pieces:
        assert ("after" in dashed(piece)) == (piece["label"] == "")
    # As many go on as are gone on with.
    assert sum("after" in dashed(piece) for piece in pieces) == sum("before" in dashed(piece) for piece in pieces)


@pytest.mark.parametrize(("start", "end"), [(3, 3), (-1, 2), (5, 11), (4, 2)])
def test_what_is_no_part_of_the_text_is_refused(start: int, end: int) -> None:
    with pytest.raises(ValueError, match="No part of a text of 10 characters"):
        render("abcdefghij", [entity(start, end)])
