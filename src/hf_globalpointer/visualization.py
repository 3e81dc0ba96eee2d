"""Entities shown in their text, as HTML: every entity is a box around its words, nested ones boxes within boxes."""

from collections.abc import Iterable, Sequence
from html import escape

from .modeling.span_decoding import PredictedEntity


_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{title}</title>
<style>
body {{ max-width: 60rem; margin: 2rem auto; padding: 0 1rem; font: 1.1rem/2.6 system-ui, sans-serif; color: #222;
  background: #fff; }}
h1 {{ font-size: 1.3rem; }}
.gp-text {{ margin: 1rem 0; white-space: pre-wrap; overflow-wrap: anywhere; }}
.gp-entity {{ padding: .15em .3em; margin: 0 .1em; border: 1.5px solid; border-radius: .4em; color: inherit;
  unicode-bidi: isolate; box-decoration-break: clone; -webkit-box-decoration-break: clone; }}
.gp-entity:has(.gp-entity) {{ padding-block: .35em; }}
.gp-entity:has(.gp-entity .gp-entity) {{ padding-block: .55em; }}
.gp-more {{ border-inline-end-style: dashed; }}
.gp-label {{ margin-inline-start: .4em; font-size: .65em; font-weight: 600; user-select: none;
  unicode-bidi: isolate; }}
</style>
</head>
<body>
<h1>{title}</h1>
{body}
</body>
</html>
"""


def render(text: str, entities: Iterable[PredictedEntity], labels: Sequence[str] = ()) -> str:
    """One text with its entities as an HTML fragment; [`render_page`] adds the styles.

    Entities that cross are split where they do: the pieces before the last have a dashed right edge and no label.

    Args:
        text (`str`): The text.
        entities (`Iterable[PredictedEntity]`): Its entities as the pipeline gives them, in any order.
        labels (`Sequence[str]`, *optional*): All labels in order: a label keeps its colour from text to text.

    Raises:
        ValueError: If an entity is empty or reaches outside the text.
    """
    spans = sorted(entities, key=lambda entity: (entity["start"], -entity["end"], entity["entity_group"]))
    for span in spans:
        if not 0 <= span["start"] < span["end"] <= len(text):
            raise ValueError(f"No part of a text of {len(text)} characters: {span}.")
    labels = list(dict.fromkeys([*labels, *(span["entity_group"] for span in spans)]))
    html: list[str] = []
    open_spans: list[PredictedEntity] = []
    position = 0
    for boundary in sorted({edge for span in spans for edge in (span["start"], span["end"])}):
        html.append(escape(text[position:boundary]))
        position = boundary
        crossing = []
        while any(span["end"] == boundary for span in open_spans):
            span = open_spans.pop()
            ends = span["end"] == boundary
            html.append(f'<span class="gp-label">{escape(span["entity_group"])}</span></span>' if ends else "</span>")
            if not ends:
                crossing.append(span)
        starting = sorted(
            [*crossing, *(span for span in spans if span["start"] == boundary)], key=lambda span: -span["end"]
        )
        for span in starting:
            # What must close before it does cuts this span in pieces.
            html.append(_opening(span, labels, whole=all(outer["end"] >= span["end"] for outer in open_spans)))
            open_spans.append(span)
    html.append(escape(text[position:]))
    return f'<div class="gp-text" dir="auto">{"".join(html)}</div>'


def render_page(fragments: Iterable[str], title: str) -> str:
    """A whole HTML page of the fragments that [`render`] made."""
    return _PAGE.format(title=escape(title), body="\n".join(fragments))


def _opening(span: PredictedEntity, labels: Sequence[str], whole: bool) -> str:
    # Steps of the golden angle keep neighbouring hues far apart, however many labels there are.
    hue = round(labels.index(span["entity_group"]) * 137.508 % 360)
    style = f"background: hsl({hue} 75% 90%); border-color: hsl({hue} 55% 45%)"
    title = escape(f"{span['entity_group']} {span['score']:.3f}")
    return f'<span class="gp-entity{"" if whole else " gp-more"}" style="{style}" title="{title}">'
