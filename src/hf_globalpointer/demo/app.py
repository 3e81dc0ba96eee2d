"""The app, in Gradio."""

import html
import json
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import gradio as gr

from ..data import DataError, read_examples
from ..data.formats.reading import input_format
from ..modeling.text_recognizer import TextRecognizer
from ..reports.palette import COLORS, FILLS
from ..reports.visualization import entity_styles
from .found_spans import find_spans


# What a machine without GPU reads in minutes; more is work for `hf-globalpointer predict`.
MAX_CHARACTERS = 1_000_000
# UTF-8 takes up to four bytes a character, and JSON some more around.
MAX_BYTES = 4 * MAX_CHARACTERS


class UnusableInputError(Exception):
    """Texts that cannot be shown; the message says why and what to do."""


# By such a default Gradio knows that a function shows its progress.
_PROGRESS = gr.Progress()
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
    app.launch(head=page_head(), theme=_THEME, footer_links=[], ssr_mode=False, **options)
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
            texts = _texts(text, Path(file) if file else None)
            content = find_spans(recognizers, texts, lambda done, total: progress((done, total), unit="windows"))
        except (UnusableInputError, ValueError, FloatingPointError) as error:
            # A message of a few seconds is missed by who reads slowly, or does not see it.
            raise gr.Error(str(error), duration=None, print_exception=False) from error
        return f'<entity-view content="{html.escape(json.dumps(content))}"></entity-view>'

    app = gr.Blocks(title=title, analytics_enabled=False)
    with app:
        gr.Markdown(f"# {title}")
        with gr.Row():
            text = gr.Textbox(label="Text", lines=8, max_lines=12, scale=2)
            file = gr.File(label="Or a file: a text, JSON Lines, a table", scale=1)
        button = gr.Button("Find entities", variant="primary")
        shown = gr.HTML(label="Entities", padding=False)
        button.click(recognize, [text, file], shown)
    return app


def page_head() -> str:
    """The script that the page of the app needs: it defines the element `<entity-view>`."""
    folder = files("hf_globalpointer.demo")
    styles = entity_styles() + (folder / "entity_view.css").read_text(encoding="utf-8")
    script = (folder / "entity_view.js").read_text(encoding="utf-8")
    return f"<script>const FILLS = {len(FILLS)}, ENTITY_STYLES = {json.dumps(styles)};\n{script}</script>"


def _texts(text: str, file: Path | None) -> list[tuple[str, str]]:
    """The titles and texts of what was given: the file, if there is one.

    Raises:
        UnusableInputError: If there is nothing, or too much, or no text.
    """
    texts = _texts_of(file) if file else [("text", text)]
    if not any(text.strip() for _, text in texts):
        raise UnusableInputError("There is no text: write or paste one, or choose a file.")
    size = sum(len(text) for _, text in texts)
    if size > MAX_CHARACTERS:
        raise UnusableInputError(
            f"These are {size:,} characters; the demo takes up to {MAX_CHARACTERS:,}. Take a part, or run "
            "hf-globalpointer predict --input FILE."
        )
    return texts


def _texts_of(file: Path) -> list[tuple[str, str]]:
    """The titles and texts of a file; a plain text is one."""
    size = file.stat().st_size
    if size > MAX_BYTES:
        raise UnusableInputError(
            f"{file.name} has {size / 1e6:.1f} MB; the demo takes files of up to {MAX_BYTES / 1e6:.0f} MB. Take a "
            "part, or run hf-globalpointer predict --input FILE."
        )
    try:
        format = input_format(file, labeled=False)
        examples = list(read_examples(file, format, labeled=False))
    except DataError as error:
        # Where an upload lies on the server is nobody's business.
        raise UnusableInputError(str(error).replace(str(file), file.name)) from error
    if format == "text":
        return [(file.name, "\n".join(example.text for example in examples))]
    return [(f"text {number}", example.text) for number, example in enumerate(examples, start=1)]
