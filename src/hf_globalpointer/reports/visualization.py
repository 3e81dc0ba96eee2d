"""Entities shown in their text, as HTML: every entity is a box around its words, nested ones boxes within boxes."""

import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import groupby

from markupsafe import Markup

from ..modeling.span_decoding import PredictedEntity
from .templating import TEMPLATES


class HtmlFragment(str):
    """A piece of HTML, which a notebook shows with its styles."""

    __slots__ = ()

    def _repr_html_(self) -> str:
        style = TEMPLATES.get_template("entities.css").render()
        return f"<style>{style}</style>\n{self}"


def render(text: str, entities: Iterable[PredictedEntity], labels: Sequence[str] = ()) -> HtmlFragment:
    """One text with its entities as an HTML fragment.

    A notebook shows it as it is; [`render_page`] makes a file of one or many. Entities that cross are split where
    they do: a dashed edge says that the entity goes on beyond it, and its last piece has the label.

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
        >>> text = "The University of Leeds lies in Leeds."
        >>> render(text, recognize(text))
        ```
    """
    spans = sorted(entities, key=lambda entity: (entity["start"], -entity["end"], entity["entity_group"]))
    for span in spans:
        if not 0 <= span["start"] < span["end"] <= len(text):
            raise ValueError(f"No part of a text of {len(text)} characters: {span}.")
    known = dict.fromkeys([*labels, *(span["entity_group"] for span in spans)])
    # Steps of the golden angle keep neighboring hues far apart, however many labels there are.
    hues = {label: round(index * 137.508 % 360) for index, label in enumerate(known)}
    starting = {start: list(group) for start, group in groupby(spans, key=lambda span: span["start"])}
    html: list[str] = []
    boxes: list[_Box] = []
    position = 0
    for boundary in sorted({edge for span in spans for edge in (span["start"], span["end"])}):
        html.append(_escape(text[position:boundary]))
        position = boundary
        crossing = []
        while any(box.span["end"] == boundary for box in boxes):
            box = boxes.pop()
            ends = box.span["end"] == boundary
            html[box.place] = box.opening(text, hues, ends)
            html.append(box.closing(ends))
            if boxes:
                boxes[-1].inside = max(boxes[-1].inside, box.inside + 1)
            if not ends:
                crossing.append(box.span)
        opening = [*crossing, *starting.get(boundary, [])]
        for span in sorted(opening, key=lambda span: (-span["end"], span["start"], span["entity_group"])):
            boxes.append(_Box(span, boundary, place=len(html)))
            html.append("")
    html.append(_escape(text[position:]))
    return HtmlFragment(f'<div class="gp-text"{_direction(text)}>{"".join(html)}</div>')


def render_page(fragments: Iterable[str], title: str) -> str:
    """A complete HTML page of the fragments that [`render`] made."""
    return "".join(stream_page(fragments, title))


def stream_page(fragments: Iterable[str], title: str) -> Iterator[str]:
    """Yield the page of [`render_page`] in pieces, for more fragments than memory holds."""
    return TEMPLATES.get_template("page.html.jinja").generate(title=Markup(_escape(title)), fragments=fragments)


@dataclass
class _Box:
    """An entity, or the piece of it that begins at `start`: what is known of it before it closes."""

    span: PredictedEntity
    start: int
    place: int  # of its opening tag in the list of all HTML
    inside: int = 0  # boxes that lie within one another in it

    def opening(self, text: str, hues: Mapping[str, int], ends: bool) -> str:
        label, start, end = self.span["entity_group"], self.span["start"], self.span["end"]
        classes = "gp-entity" + " gp-before" * (start < self.start) + " gp-after" * (not ends)
        hue = hues[label]
        style = f"--gp-inside: {self.inside}; background: hsl({hue} 75% 90%); border-color: hsl({hue} 55% 45%)"
        title = _escape(f"{label} {self.span['score']:.3f}")
        return f'<span class="{classes}" style="{style}" title="{title}"{_direction(text[start:end])}>'

    def closing(self, ends: bool) -> str:
        return f'<span class="gp-label">{_escape(self.span["entity_group"])}</span></span>' if ends else "</span>"


def _direction(text: str) -> str:
    """The attribute `dir` that its first letter asks for: the browser's own choice would count labels as text."""
    for character in text:
        match unicodedata.bidirectional(character):
            case "L":
                return ' dir="ltr"'
            case "R" | "AL":
                return ' dir="rtl"'
    return ""


def _escape(text: str) -> str:
    """Text as HTML that UTF-8 can hold: lone surrogates as references, which a browser shows as unknown characters."""
    return escape(text).encode("utf-8", "xmlcharrefreplace").decode("utf-8")
