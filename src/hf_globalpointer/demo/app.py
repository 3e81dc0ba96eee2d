"""The app, in Gradio."""

import html
import json
from collections.abc import Mapping
from importlib.resources import files
from itertools import islice
from pathlib import Path
from typing import Any

import gradio as gr

from ..data import DataError, DataReport, read_examples
from ..data.formats.lines import opened
from ..data.formats.reading import input_format
from ..modeling.text_recognizer import TextRecognizer
from ..reports.markdown import literal
from ..reports.palette import COLORS, FILLS
from ..reports.visualization import entity_styles
from .found_spans import find_spans


# What a machine without GPU reads in minutes; more is work for `hf-globalpointer predict`.
MAX_CHARACTERS = 1_000_000
MAX_TEXTS = 1_000
# Decompressed. A character takes up to four bytes of UTF-8, and six or twelve where JSON escapes it.
MAX_BYTES = 12 * MAX_CHARACTERS
# What Gradio takes at all, before the app can say a sentence of its own.
_MAX_UPLOAD = 10 * MAX_BYTES
# Uploads are looked for, and removed, as often and when they are as old, in seconds.
_UPLOADS_LAST = 3_600


class UnusableInputError(Exception):
    """Texts that cannot be shown; the message says why and what to do."""


# By such a default Gradio knows that a function shows its progress.
_PROGRESS = gr.Progress()
_INSTEAD = "Take a part, or run hf-globalpointer predict --input FILE."
# Gradio's own colors have too little contrast for small texts and for its button.
_THEME = gr.themes.Default(primary_hue="blue", neutral_hue="gray").set(
    body_text_color_subdued="*neutral_600",
    body_text_color_subdued_dark="*neutral_300",
    button_primary_background_fill=COLORS[3],
    button_primary_background_fill_dark=COLORS[3],
)


def launch(recognizers: Mapping[str, TextRecognizer], **options: Any) -> gr.Blocks:
    """Serve the app.

    Args:
        recognizers (`Mapping[str, TextRecognizer]`):
            Pipelines or exported models by their names: one, or two that are compared side by side.
        options: Those of Gradio's `Blocks.launch`, such as `server_port`, or `prevent_thread_lock=True` to go on.

    Returns:
        `gradio.Blocks`: The app, which knows its `local_url`.

    Raises:
        OSError: If the port is taken.
        ValueError: If there are no recognizers, or more than two.
    """
    app = make_app(recognizers)
    app.launch(head=page_head(), theme=_THEME, footer_links=[], ssr_mode=False, max_file_size=_MAX_UPLOAD, **options)
    return app


def make_app(recognizers: Mapping[str, TextRecognizer]) -> gr.Blocks:
    """The app, which [`launch`] serves with the script that it needs.

    Args:
        recognizers (`Mapping[str, TextRecognizer]`): As of [`launch`].

    Raises:
        ValueError: If there are none, or more than two.
    """
    if not 1 <= len(recognizers) <= 2:
        raise ValueError(f"The app shows one model or compares two, got {len(recognizers)}.")
    title = "Entities by " + " and ".join(recognizers)

    def recognize(text: str, file: str | None, progress: gr.Progress = _PROGRESS) -> str:
        try:
            texts = texts_of(text, Path(file) if file else None)
            content = find_spans(recognizers, texts, lambda done, total: progress((done, total), unit="windows"))
        except (UnusableInputError, FloatingPointError) as error:
            # In the place of what was found before.
            return f'<p role="alert">{html.escape(str(error))}</p>'
        return f'<entity-view content="{html.escape(json.dumps(content))}"></entity-view>'

    app = gr.Blocks(title=title, analytics_enabled=False, delete_cache=(_UPLOADS_LAST, _UPLOADS_LAST))
    with app:
        gr.Markdown(f"# {literal(title)}")
        with gr.Row():
            text = gr.Textbox(label="Text", lines=8, max_lines=12, scale=2)
            file = gr.File(label="Or a file: a text, JSON Lines, a table", scale=1)
        button = gr.Button("Find entities", variant="primary")
        shown = gr.HTML()
        button.click(recognize, [text, file], shown)
    return app


def page_head() -> str:
    """The script that the page of the app needs: it defines the element `<entity-view>`."""
    folder = files("hf_globalpointer.demo")
    styles = (
        f":host {{ accent-color: {COLORS[3]}; }}\n"
        + entity_styles()
        + (folder / "entity_view.css").read_text(encoding="utf-8")
    )
    script = (folder / "entity_view.js").read_text(encoding="utf-8")
    constants = f"const FILLS = {len(FILLS)}, ENTITY_STYLES = {json.dumps(styles)};"
    # A module, so that its names are not those of the whole page.
    return f'<script type="module">{constants}\n{script}</script>'


def texts_of(text: str, file: Path | None) -> list[tuple[str, str]]:
    """The titles and texts of what was given.

    Raises:
        UnusableInputError: If there is nothing, or too much, or no text.
    """
    if file and text.strip():
        raise UnusableInputError("There are a text and a file: remove one of them.")
    texts = _texts_in(file) if file else [("text", text)]
    if not any(text.strip() for _, text in texts):
        raise UnusableInputError("There is no text: write or paste one, or choose a file.")
    size = sum(len(text) for _, text in texts)
    if size > MAX_CHARACTERS or len(texts) > MAX_TEXTS:
        found = f"{size:,} characters" if size > MAX_CHARACTERS else f"more than {MAX_TEXTS:,} texts"
        raise UnusableInputError(
            f"These are {found}; the demo takes up to {MAX_CHARACTERS:,} characters in {MAX_TEXTS:,} texts. {_INSTEAD}"
        )
    return texts


def _texts_in(file: Path) -> list[tuple[str, str]]:
    """The titles and texts of a file, up to one more than can be shown; a plain text is one."""
    try:
        # A small file may decompress to a huge one.
        with opened(file) as stream:
            content = stream.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise UnusableInputError(
                f"{file.name} has more than {MAX_BYTES / 1e6:.0f} MB, which the demo does not take. {_INSTEAD}"
            )
        format = input_format(file, labeled=False)
        if format == "text":
            return [(file.name, content.decode("utf-8-sig"))]
        # Tags that break their scheme do no harm to the text.
        examples = read_examples(file, format, labeled=False, report=DataReport())
        return [(f"text {number}", example.text) for number, example in enumerate(islice(examples, MAX_TEXTS + 1), 1)]
    except UnicodeDecodeError as error:
        raise UnusableInputError(f"{file.name} is no text in UTF-8; convert it.") from error
    except DataError as error:
        # Where an upload lies on the server is nobody's business.
        raise UnusableInputError(str(error).replace(str(file), file.name)) from error
