"""Entities shown in their text, as HTML: every entity is a bar under its words, nested ones in lanes of their own."""

from collections.abc import Iterable, Iterator, Sequence
from html import escape
from itertools import groupby, pairwise

from markupsafe import Markup

from ..modeling.span_decoding import PredictedEntity
from .palette import FILLS
from .templating import TEMPLATES


class HtmlFragment(str):
    """A piece of HTML, which a notebook shows with its styles."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        return f"<style>{entity_styles()}</style>\n{self}"


def render(text: str, entities: Iterable[PredictedEntity], labels: Sequence[str] = ()) -> HtmlFragment:
    """One text with its entities as an HTML fragment.

    A notebook shows it as it is; [`render_page`] makes a file of one or many. Every entity has a bar under its words,
    with its label at its beginning; entities that share words have theirs in different lanes, one under the other.

    Args:
        text (`str`): The text.
        entities (`Iterable[PredictedEntity]`): Its entities as the pipeline gives them, in any order.
        labels (`Sequence[str]`, *optional*): All labels in order: a label keeps its color from text to text.

    Returns:
        `HtmlFragment`: A `str`, without the styles.

    Raises:
        ValueError: If an entity is empty or reaches outside the text.

    Example:
        ```python
        text = "The University of Leeds lies in Leeds."
        render(text, recognize(text))
        ```
    """
    spans = sorted(entities, key=lambda entity: (entity["start"], -entity["end"], entity["entity_group"]))
    for span in spans:
        if not 0 <= span["start"] < span["end"] <= len(text):
            raise ValueError(f"No part of a text of {len(text)} characters: {span}.")
    known = {label: index for index, label in enumerate(dict.fromkeys([*labels, *(s["entity_group"] for s in spans)]))}
    bars = [_Bar(span, known[span["entity_group"]], lane) for span, lane in zip(spans, _lanes(spans), strict=True)]
    edges = sorted({0, len(text), *(edge for span in spans for edge in (span["start"], span["end"]))})
    html: list[str] = []
    starting = {start: list(group) for start, group in groupby(bars, key=lambda bar: bar.start)}
    over: list[_Bar] = []
    for start, end in pairwise(edges):
        over = [*(bar for bar in over if bar.end > start), *starting.get(start, [])]
        html.append(_segment(text[start:end], start, end, over))
    lanes = max((bar.lane + 1 for bar in bars), default=0)
    return HtmlFragment(f'<div class="gp-text" dir="auto" style="--gp-lanes:{lanes}">{"".join(html)}</div>')


def render_page(fragments: Iterable[str], title: str, labels: Sequence[str] = ()) -> str:
    """A complete HTML page of the fragments that [`render`] made.

    Args:
        fragments (`Iterable[str]`): The fragments.
        title (`str`): The title of the page.
        labels (`Sequence[str]`, *optional*):
            What `render` was given as such: the page can then show and hide the entities of each label.
    """
    return "".join(stream_page(fragments, title, labels))


def stream_page(fragments: Iterable[str], title: str, labels: Sequence[str] = ()) -> Iterator[str]:
    """Yield the page of [`render_page`] in pieces, for more fragments than memory holds."""
    return TEMPLATES.get_template("page.html.jinja").generate(
        title=Markup(_escape(title)), fragments=fragments, labels=[Markup(_escape(label)) for label in labels]
    )


def entity_styles() -> str:
    """The styles of what [`render`] makes."""
    return TEMPLATES.get_template("entities.css.jinja").render()


class _Bar:
    """The bar of an entity."""

    def __init__(self, entity: PredictedEntity, label: int, lane: int) -> None:
        self.entity, self.label, self.lane = entity, label, lane
        self.start, self.end = entity["start"], entity["end"]

    def layer(self, end: int) -> str:
        """Its background in a segment that ends there; a little is left open where the entity ends."""
        width = "calc(100% - .15em)" if end == self.end else "100%"
        fill = f"var(--gp-label-{self.label},var(--gp-fill-{self.label % len(FILLS)}))"
        return f"{fill} var(--gp-side,0) {_lane_top(self.lane)}em/{width} .18em no-repeat"

    def name(self) -> str:
        """The label, to be written where the entity begins."""
        style = f"--gp-top:{_lane_top(self.lane)}"
        label = _escape(self.entity["entity_group"])
        return f'<bdi class="gp-label" data-label="{self.label}" style="{style}">{label}</bdi>'


def _lane_top(lane: int) -> str:
    """How far below the top of the text a bar is, in em."""
    return f"{1.35 + 0.95 * lane:.2f}"


def _lanes(spans: Sequence[PredictedEntity]) -> list[int]:
    """The lane of each entity, counted from the text: the first with room for it and for its label, which is small."""
    lanes: list[int] = []
    free_from: list[float] = []
    for span in spans:
        lane = next((lane for lane, start in enumerate(free_from) if start <= span["start"]), len(free_from))
        free_from[lane : lane + 1] = [max(span["end"], span["start"] + 0.7 * len(span["entity_group"]) + 1)]
        lanes.append(lane)
    return lanes


def _segment(text: str, start: int, end: int, over: Sequence[_Bar]) -> str:
    """A part of the text that lies in the same entities, whose bars are its background."""
    if not over:
        return _escape(text)
    title = _escape("\n".join(f"{bar.entity['entity_group']} {bar.entity['score']:.3f}" for bar in over))
    names = "".join(bar.name() for bar in over if bar.start == start)
    layers = ",".join(bar.layer(end) for bar in over)
    return f'<span class="gp-segment" title="{title}" style="background:{layers}">{names}{_escape(text)}</span>'


def _escape(text: str) -> str:
    """Text as HTML that UTF-8 can hold: lone surrogates as references, which a browser shows as unknown characters."""
    return escape(text).encode("utf-8", "xmlcharrefreplace").decode("utf-8")
