from pathlib import Path
from typing import Any

import pytest

from hf_globalpointer.runtime.file_tokenizer import FileTokenizer


TEXTS = ["Alfred Nobel was born in Stockholm.", "", "  ab  c\u0301 \u4e2d\u6587 \U0001f600 ", "a" * 300]


@pytest.mark.parametrize("kind", ["char_tokenizer", "wordpiece", "byte_level", "unigram"])
def test_it_gives_what_the_tokenizer_of_transformers_gives(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    tokenizer = request.getfixturevalue(kind)
    # A tokenizer that has padded and cut before says so in its file.
    tokenizer(TEXTS, truncation=True, padding=True, max_length=8)
    tokenizer.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    options: dict[str, Any] = {"return_offsets_mapping": True, "return_special_tokens_mask": True, "verbose": False}
    expected = dict(tokenizer(TEXTS, **options))
    inputs = [name for name in expected if name not in ("offset_mapping", "special_tokens_mask")]
    own = FileTokenizer(tmp_path / "tokenizer.json", inputs, 512, tokenizer.pad_token_id, 0)
    assert own(TEXTS, **options) == expected
    assert own.num_special_tokens_to_add() == tokenizer.num_special_tokens_to_add()
