import gzip
import json
from pathlib import Path

import pytest
from transformers import pipeline

from hf_globalpointer.demo import app
from hf_globalpointer.demo.app import MAX_BYTES, MAX_CHARACTERS, MAX_TEXTS, UnusableInputError, make_app, texts_of


def lines(*texts: str) -> bytes:
    return "".join(json.dumps({"text": text}) + "\n" for text in texts).encode()


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("novel.txt", "\ufeffAda\r\n\tmet\n\nBob".encode(), [("novel.txt", "Ada\r\n\tmet\n\nBob")]),
        ("novel.txt.gz", gzip.compress(b"Ada\nBob", mtime=0), [("novel.txt.gz", "Ada\nBob")]),
        ("some.jsonl", lines("Ada", "", "Bob"), [("text 1", "Ada"), ("text 2", ""), ("text 3", "Bob")]),
        ("some.csv", b"text,more\nAda,x\n", [("text 1", "Ada")]),
        # Its tags break their scheme, and are not asked for.
        ("some.conll", b"Ada\tB-x\nmet\tI-y\nBob\tB-x\n", [("text 1", "Ada met Bob")]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_files_are_read(name: str, content: bytes, expected: list[tuple[str, str]], tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    assert texts_of(" \n", tmp_path / name) == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(range(256)), "picture.png is no text in UTF-8; convert it."),
        ("broken.jsonl", b'{"text": "a"}\n{"text": 3}\n', "broken.jsonl:2"),
        ("broken.gz", b"no gzip", "broken.gz: not a complete gzip file"),
        ("empty.txt", b" \n", "There is no text"),
        ("many.jsonl", lines(*["a"] * (MAX_TEXTS + 1)), "These are more than 1,000 texts; the demo takes up to"),
        ("long.txt", b"a" * (MAX_CHARACTERS + 5), "These are 1,000,005 characters; the demo takes up to 1,000,000"),
        ("huge.txt", b"a" * (MAX_BYTES + 1), "huge.txt has more than 12 MB, which the demo does not take."),
        # Which is not read to its end.
        ("bomb.txt.gz", gzip.compress(b"a\n" * 10**8, mtime=0), "bomb.txt.gz has more than 12 MB"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_shown_is_refused_by_a_sentence(
    name: str, content: bytes, message: str, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UnusableInputError) as raised:
        texts_of("", tmp_path / name)
    assert str(raised.value).startswith(message)
    # Not where it lies on the server.
    assert str(tmp_path) not in str(raised.value)


def test_many_characters_are_taken_however_json_writes_them(tmp_path: Path) -> None:
    (tmp_path / "long.jsonl").write_bytes(lines("😀" * (900_000)))
    assert len(texts_of("", tmp_path / "long.jsonl")[0][1]) == 900_000


def test_a_text_and_a_file_are_too_much(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("Ada")
    with pytest.raises(UnusableInputError, match="There are a text and a file: remove one of them"):
        texts_of("Bob", tmp_path / "a.txt")
    assert texts_of("Bob", None) == [("text", "Bob")]


def test_no_model_and_three_are_refused(checkpoint: Path) -> None:
    recognizer = pipeline("global-pointer-ner", model=str(checkpoint))
    for names in ("", "abc"):
        with pytest.raises(ValueError, match="shows one model or compares two"):
            make_app(dict.fromkeys(names, recognizer))


def test_hostile_names_and_texts_stay_text(checkpoint: Path) -> None:
    recognizer = pipeline("global-pointer-ner", model=str(checkpoint))
    made = make_app({"<img src=x>[a](b)": recognizer})
    (title,) = [block.value for block in made.blocks.values() if type(block).__name__ == "Markdown"]
    assert title == r"# Entities by \<img src=x>\[a\](b)"
    (recognize,) = [function.fn for function in made.fns.values()]
    answer = recognize('"><script>alert(1)</script>', None, app._PROGRESS)
    assert answer.startswith('<entity-view content="{')
    assert "<script>" not in answer
    assert answer.count('"') == 2
