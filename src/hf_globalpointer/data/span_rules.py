"""What texts of a data set have in common: which spans may overlap, how long both are, whether they have capitals."""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from operator import eq

from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from ..modeling.span_decoding import Overlap
from ..modeling.token_windows import max_tokens
from ..modeling.words import CAPITAL, SMALL, character_kinds
from .alignment import encode_examples
from .examples import Example
from .statistics import find_overlaps


# A rare word may have this many tokens, whatever entities the training data have.
_LEAST_SPAN = 16
# Windows up to this length gave about the same F1 on long texts, longer ones less: see docs/architecture.md.
_LEAST_WINDOW = 192


@dataclass(frozen=True)
class SpanRules:
    """The rules that the entities of training data obey, and a model of them should: see [`find_span_rules`].

    Args:
        overlap (`str`): Which entities may go together: `"flat"`, `"nested"` or `"all"`.
        max_span_length (`int`): The most tokens of an entity.
        max_length (`int`): The tokens of a window in which texts are read, special ones included.
        num_entities (`int`): The entities they come from.
        num_nested (`int`): Those that lie inside another one or around one, or have the span of another.
        num_crossing (`int`): Those that overlap one though neither lies inside the other.
        longest (`int`): The tokens of the longest one.
        hides_capitals (`bool`): Whether the texts have capitals that the tokenizer hides from the encoder.
    """

    overlap: Overlap
    max_span_length: int
    max_length: int
    num_entities: int
    num_nested: int
    num_crossing: int
    longest: int
    hides_capitals: bool

    def apply(self, config: PreTrainedConfig) -> None:
        """Write the rules into the configuration of a model."""
        config.overlap, config.max_span_length = self.overlap, self.max_span_length
        config.max_length = self.max_length
        config.mark_capitals = self.hides_capitals and config.has_segments()

    def summary(self) -> str:
        """One line for a log."""
        found = {
            "flat": "none overlaps another",
            "nested": f"{self.num_nested:,} are nested, none crosses another",
            "all": f"{self.num_crossing:,} cross another, {self.num_nested:,} are nested",
        }[self.overlap]
        return (
            f'of {self.num_entities:,} entities {found}: overlap "{self.overlap}"; the longest has {self.longest} '
            f"tokens: spans of at most {self.max_span_length}; windows of {self.max_length} tokens"
            f"{', which hide capitals' if self.hides_capitals else ''}."
        )


def find_span_rules(
    examples: Iterable[Example], tokenizer: PreTrainedTokenizerBase, max_positions: int | None = None
) -> SpanRules:
    """Look through training data for the rules that its entities obey, for `SpanRules.apply`.

    - `overlap` is `"flat"` if no two entities of a text overlap, `"nested"` if none cross, else `"all"`.
    - `max_span_length` is twice the tokens of the longest entity, and at least 16.
    - `max_length` is the tokens of all but the longest hundredth of the texts, at least 192 and four times
      `max_span_length`, and no more than tokenizer and encoder allow.
    - `mark_capitals` is on where the tokenizer hides capitals that the texts have, and the encoder has a second kind
      of `token_type_ids` to tell them by.

    Args:
        examples (`Iterable[Example]`): The training data.
        tokenizer (`PreTrainedTokenizerBase`): The tokenizer of the model.
        max_positions (`int`, *optional*): The positions of the encoder: `model.max_positions()`.

    Raises:
        ValueError: If the tokenizer is not a fast one, or nothing limits the tokens of an input.
    """
    examples = list(examples)
    limit = max_tokens(tokenizer, max_positions)
    overlaps = [find_overlaps(example.entities) for example in examples]
    nested, crossing = sum(len(found.nested) for found in overlaps), sum(len(found.crossing) for found in overlaps)
    label2id = {entity.label: 0 for example in examples for entity in example.entities}
    features, report = encode_examples(examples, tokenizer, label2id, limit)
    longest = max((end - start + 1 for feature in features for _, start, end in feature["labels"]), default=0)
    lengths = sorted(len(feature["input_ids"]) for feature in features) or [0]
    max_span_length = max(_LEAST_SPAN, 2 * longest)
    return SpanRules(
        overlap="all" if crossing else "nested" if nested else "flat",
        max_span_length=max_span_length,
        max_length=min(limit, max(_LEAST_WINDOW, lengths[(len(lengths) - 1) * 99 // 100], 4 * max_span_length)),
        num_entities=report.num_entities,
        num_nested=nested,
        num_crossing=crossing,
        longest=longest,
        hides_capitals=_hides_capitals(examples, tokenizer, limit),
    )


def _hides_capitals(examples: Iterable[Example], tokenizer: PreTrainedTokenizerBase, limit: int) -> bool:
    """Whether most texts with capitals and small letters, of the first hundred, are the same tokens in lower case."""
    mixed = list(islice((example.text for example in examples if _has_both_cases(example.text)), 100))
    as_they_are, lowered = (
        [feature["input_ids"] for feature in encode_examples(map(Example, texts), tokenizer, {}, limit)[0]]
        for texts in (mixed, [text.lower() for text in mixed])
    )
    # A few letters are two in lower case, and special tokens in a text are none then.
    num_same: int = sum(map(eq, as_they_are, lowered))
    return 2 * num_same > len(as_they_are)


def _has_both_cases(text: str) -> bool:
    kinds = character_kinds(text)
    return bool((kinds & CAPITAL).any() and (kinds & SMALL).any())
