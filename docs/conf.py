"""The site of the documentation: `make docs`."""

import re
from importlib.metadata import version as installed_version
from typing import Any

from docutils.nodes import SkipNode, math, math_block
from latex2mathml.converter import convert


project = "hf-globalpointer"
author = copyright = "The hf-globalpointer team"
version = release = installed_version("hf-globalpointer")
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
html_math_renderer = "mathml"
html_theme = "furo"
html_title = project
exclude_patterns = ["_build"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True, "show-inheritance": True}
# Types stand in the text, in backticks.
napoleon_use_param = False
napoleon_use_rtype = False
# In docstrings, single backticks are code, as in Markdown.
default_role = "code"


def to_restructured_text(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are in the Markdown of Hugging Face: its code blocks and [`names`], as Sphinx reads them."""
    written: list[str] = []
    inside = False
    for line in lines:
        fence = re.fullmatch(r"(\s*)```(\w*)", line)
        if fence:
            inside = not inside
            written += [f"{fence[1]}.. code-block:: {fence[2]}", ""] if inside else [""]
        elif inside:
            written.append(f"   {line}" if line else "")
        else:
            written.append(re.sub(r"\[(`[^`]+`)\]", r"\1", line).replace("|", r"\|"))
    lines[:] = written


def without_links_out(app: Any, docname: str, source: list[str]) -> None:
    """Links to what is in the repository, and not on the site, become its path."""
    source[0] = re.sub(r"\[([^\]]+)\]\(\.\./([^)]+)\)", r"\1 (`\2` in the repository)", source[0])


def write_math(translator: Any, node: math | math_block) -> None:
    """Formulas become MathML, which browsers show without a script from elsewhere."""
    display = "block" if isinstance(node, math_block) else "inline"
    translator.body.append(convert(node.astext(), display=display))
    raise SkipNode


def setup(app: Any) -> None:
    """Have all of these called."""
    app.add_html_math_renderer("mathml", (write_math, None), (write_math, None))
    app.connect("source-read", without_links_out)
    # Before napoleon, which reads the sections.
    app.connect("autodoc-process-docstring", to_restructured_text, priority=1)
