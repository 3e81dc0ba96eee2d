"""Draws nested.svg, the picture of the README: `python docs/draw_nested.py`."""

from pathlib import Path

from hf_globalpointer.modeling.span_decoding import PredictedEntity
from hf_globalpointer.reports.visualization import render


TEXT = "The University of Leeds lies in Leeds."
PLACES = {(4, 23): "organization", (18, 23): "place", (32, 37): "place"}
STYLE = "font: 20px system-ui, sans-serif; color: #222; background: #fff; padding: 0 .5em"
SVG = """<svg xmlns="http://www.w3.org/2000/svg" width="700" height="105">
<foreignObject width="700" height="105"><div xmlns="http://www.w3.org/1999/xhtml" style="{style}">
{html}
</div></foreignObject>
</svg>
"""


def main() -> None:
    """Write the picture beside this file."""
    entities = [
        PredictedEntity(entity_group=label, score=1.0, word=TEXT[start:end], start=start, end=end)
        for (start, end), label in PLACES.items()
    ]
    html = render(TEXT, entities)._repr_html_()
    Path(__file__).with_name("nested.svg").write_text(SVG.format(html=html, style=STYLE), encoding="utf-8")


if __name__ == "__main__":
    main()
