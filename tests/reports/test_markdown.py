import pytest
from hypothesis import given, strategies as st
from markdown_it import MarkdownIt

from hf_globalpointer.reports.markdown import literal, table


def shown(markdown: str) -> str:
    """What a reader sees of a paragraph, all of it text."""
    opening, content, closing = MarkdownIt("commonmark").enable("table").parse(f"x {markdown}")
    assert (opening.type, closing.type) == ("paragraph_open", "paragraph_close")
    assert {child.type for child in content.children} <= {"text", "text_special"}
    return "".join(child.content for child in content.children).removeprefix("x ")


@given(st.text(st.sampled_from("ab1\\`*_[]()<>&#~:@$|!-{}'\" "), max_size=12))
def test_literal_text_is_shown_letter_by_letter(text: str) -> None:
    text = " ".join(["y", *text.split()])
    assert shown(literal(text)) == text


def test_what_means_nothing_to_markdown_is_as_it_is() -> None:
    for text in ("Texts: 120", "length < 3", ">= 6", "0.81 (0.79 to 0.83)", "R & D, C# 7"):
        assert literal(text).removeprefix("\\") == text
    assert literal(":100: <b> &amp; #7 @org") == r"\:100: \<b> \&amp; \#7 \@org"
    assert literal("# a") == r"\# a"


@pytest.mark.parametrize("text", ["a\nb", " a  b ", "a\tb", "a\u2028b"])
def test_literal_text_is_one_line(text: str) -> None:
    assert literal(text) == "a b"


def test_cells_of_a_table_hold_any_text() -> None:
    cells = ["a|b", "a\\|b", "a\\", "*x*", "`|`"]
    tokens = (
        MarkdownIt("commonmark").enable("table").parse(table(["name", "number"], [[literal(c), "1"] for c in cells]))
    )
    found = ["".join(child.content for child in token.children) for token in tokens if token.type == "inline"]
    assert found == ["name", "number", *(text for cell in cells for text in (cell, "1"))]
    styles = [token.attrs.get("style") for token in tokens if token.type == "th_open"]
    assert styles == ["text-align:left", "text-align:right"]
