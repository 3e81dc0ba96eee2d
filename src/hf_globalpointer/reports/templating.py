"""The templates of the pages, in the folder `templates`."""

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from .markdown import literal
from .palette import COLORS, FILLS, PAPER


# Hostile labels and texts are escaped as HTML where the template ends with .html.jinja.
TEMPLATES = Environment(
    loader=PackageLoader("hf_globalpointer.reports"),
    autoescape=select_autoescape(enabled_extensions=["html.jinja"]),
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
    undefined=StrictUndefined,
)
TEMPLATES.filters["literal"] = literal
TEMPLATES.globals.update(colors=COLORS, fills=FILLS, paper=PAPER)
