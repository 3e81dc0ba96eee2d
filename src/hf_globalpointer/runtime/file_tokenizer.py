"""A tokenizer from `tokenizer.json` alone, with as much of a Transformers tokenizer as windows need."""

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer


class FileTokenizer:
    """Tokenizes as the fast tokenizer does whose `tokenizer.json` it reads.

    Args:
        path (`Path`): The file `tokenizer.json`.
        inputs (`list[str]`): What the encoder takes, such as `["input_ids", "attention_mask"]`.
        model_max_length (`int`): The most tokens of an input.
        pad_token_id (`int`, *optional*): What `input_ids` are padded with.
        pad_token_type_id (`int`): What `token_type_ids` are padded with.
    """

    is_fast = True

    def __init__(
        self, path: Path, inputs: list[str], model_max_length: int, pad_token_id: int | None, pad_token_type_id: int
    ) -> None:
        self._tokenizer = Tokenizer.from_file(str(path))
        # What the file says of these is for whoever pads and cuts by the tokenizer.
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()
        self._inputs = inputs
        self.model_max_length = model_max_length
        self.pad_token_id, self.pad_token_type_id = pad_token_id, pad_token_type_id

    def num_special_tokens_to_add(self) -> int:
        """How many special tokens a text gets."""
        number: int = self._tokenizer.num_special_tokens_to_add(is_pair=False)
        return number

    def __call__(self, text: list[str], **options: Any) -> dict[str, list[Any]]:
        """Tokenize texts; `options` are those of a call that always asks for offsets and special tokens."""
        encodings = self._tokenizer.encode_batch(text)
        columns = {
            "input_ids": [encoding.ids for encoding in encodings],
            "token_type_ids": [encoding.type_ids for encoding in encodings],
            "attention_mask": [encoding.attention_mask for encoding in encodings],
        }
        return {
            **{name: columns[name] for name in self._inputs},
            "offset_mapping": [encoding.offsets for encoding in encodings],
            "special_tokens_mask": [encoding.special_tokens_mask for encoding in encodings],
        }
