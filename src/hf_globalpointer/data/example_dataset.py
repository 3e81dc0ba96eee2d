"""Examples as a data set of features, for training also joined to longer texts, anew in each epoch."""

import math
import random
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch.utils.data import Dataset
from transformers import PreTrainedConfig, PreTrainedTokenizerBase

from ..modeling.scripts import is_unspaced
from .alignment import OnUnaligned, encode_examples
from .examples import Entity, Example


# Punctuation of scripts without spaces: U+2019 and U+201D, and what is as wide as an ideograph.
_STOPS = "\u2019\u201d\u2026\u3001\u3002\u300b\u300d\u300f\u3011\uff01\uff09\uff0c\uff1a\uff1b\uff1f"


class ExampleDataset(Dataset[dict[str, Any]]):
    """The features of examples, as the configuration of a model says, and those of joined examples after them.

    A model that has seen sentences only finds too few entities in longer texts, or a multitude. So for training,
    joined texts are added, of two examples up to a window's length. Their lengths are drawn once, evenly; their
    examples anew in each epoch: neighbors in their document where ids show it (they end in numbers that count up, and
    are of more than one document), others at random where it ends. With `joined=1.0` an epoch has twice the tokens,
    and takes about twice as long. Where the configuration says that capitals are marked, they are not in half of the
    joined texts, so that the model also learns to read what is written without them.

    A data set for the Trainer, a `DataLoader` or whatever takes a sequence. What loads from it must set the epoch:
    Accelerate does so with samplers that do not count epochs themselves, and [`EpochCallback`] with all.

    Args:
        examples (`Sequence[Example]`): The examples.
        tokenizer (`PreTrainedTokenizerBase`): The tokenizer of the model.
        config (`PreTrainedConfig`): The configuration of the model, with the rules of the data: see
            [`find_span_rules`].
        joined (`float`, *optional*, defaults to 0.0):
            How many tokens the joined texts have, for each of the examples' own: 1.0 for training, 0 to evaluate.
        seed (`int`, *optional*, defaults to 42): Of what is drawn.
        on_unaligned (`str`, *optional*, defaults to `"drop"`): As of [`encode_examples`].

    Attributes:
        report (`AlignmentReport`): How the entities of the examples align with tokens.

    Raises:
        ValueError: If `joined` is negative or not finite, or is not 0 and `config.max_length` is not set.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        tokenizer: PreTrainedTokenizerBase,
        config: PreTrainedConfig,
        joined: float = 0.0,
        seed: int = 42,
        on_unaligned: OnUnaligned = "drop",
    ) -> None:
        if not 0 <= joined < math.inf:
            raise ValueError(f"`joined` must be a finite number, 0 or more, got {joined}.")
        if joined and config.max_length is None:
            raise ValueError(
                "`config.max_length`, the length up to which examples are joined, is not set; "
                "`find_span_rules(examples, tokenizer).apply(config)` finds it."
            )
        self._examples, self._tokenizer, self._config = list(examples), tokenizer, config
        self._seed, self._on_unaligned = seed, on_unaligned
        self._features, self.report = self._encode(self._examples)
        self._targets: list[int] = []
        self._joined: list[dict[str, Any]] = []
        self._epoch: int | None = None
        if joined:
            self._content_length = config.max_length - tokenizer.num_special_tokens_to_add()
            texts = [example.text for example in self._examples]
            tokens = tokenizer(texts, add_special_tokens=False, verbose=False)["input_ids"] if texts else []
            self._lengths = [len(ids) for ids in tokens]
            # What fills half a window by itself is joined with nothing.
            self._short = [index for index, length in enumerate(self._lengths) if length < self._content_length // 2]
            followed = _followed([_place(example) for example in self._examples])
            self._followed = {index for index in followed if self._lengths[index + 1] < self._content_length // 2}
            self._targets = self._draw_targets(joined * sum(self._lengths[index] for index in self._short))
            self.set_epoch(0)

    def __len__(self) -> int:
        return len(self._features) + len(self._joined)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._features[index] if index < len(self._features) else self._joined[index - len(self._features)]

    def set_epoch(self, epoch: int) -> None:
        """Draw the joined texts of an epoch: the same for the same epoch."""
        # The sampler's loader and the callback may both set it.
        if epoch == self._epoch:
            return
        self._epoch = epoch
        generator = random.Random(f"{self._seed} {epoch}")
        joined = [self._join(target, generator) for target in self._targets]
        # A window more, where tokens are others in the joined text, is left out: each text stays in its place.
        self._joined = [self._encode([example])[0][0] for example in joined]
        if self._config.mark_capitals:
            # A model that always sees capitals marked finds little where there are none.
            for feature in self._joined[::2]:
                feature["token_type_ids"] = [0] * len(feature["token_type_ids"])

    def _encode(self, examples: Sequence[Example]) -> Any:
        config = self._config
        return encode_examples(
            examples,
            self._tokenizer,
            config.label2id,
            config.max_length,
            word_aligned=config.word_aligned,
            on_unaligned=self._on_unaligned,
            max_span_length=config.max_span_length,
            mark_capitals=config.mark_capitals,
        )

    def _draw_targets(self, tokens: float) -> list[int]:
        """Lengths of texts, that sum up to so many tokens."""
        if len(self._short) < 2:
            return []
        generator = random.Random(self._seed)
        least = min(self._content_length, 2 * sum(self._lengths[index] for index in self._short) // len(self._short))
        targets: list[int] = []
        total = 0
        while total < tokens:
            targets.append(generator.randint(least, self._content_length))
            total += targets[-1]
        return targets

    def _join(self, target: int, generator: random.Random) -> Example:
        """Two examples at least, and as many more as are no longer than the target."""
        index = generator.choice(self._short)
        joined, length = [index], self._lengths[index]
        while True:
            index = index + 1 if index in self._followed else generator.choice(self._short)
            length += self._lengths[index]
            if length > self._content_length or (length > target and len(joined) > 1):
                return join_examples([self._examples[index] for index in joined])
            joined.append(index)


def join_examples(examples: Sequence[Example]) -> Example:
    """One example of several: their texts in order, separated by a space where their script has spaces.

    Args:
        examples (`Sequence[Example]`): The examples, one at least.
    """
    text, entities = "", []
    for example in examples:
        if text and not (_needs_no_space(text[-1]) or text[-1].isspace()):
            text += " "
        start = len(text)
        text += example.text
        entities += [Entity(e.start + start, e.end + start, e.label) for e in example.entities]
    return Example(text, tuple(entities), source=examples[0].source)


def _needs_no_space(character: str) -> bool:
    """Whether what follows a character follows it at once."""
    return is_unspaced(character) or character in _STOPS


def _followed(places: Sequence[tuple[str, int | None]]) -> set[int]:
    """The examples whose document goes on with the next one; none where ids only number the lines of a file."""
    if len({name for name, _ in places}) < 2:
        return set()
    pairs = enumerate(pairwise(places))
    return {i for i, ((name, number), other) in pairs if number is not None and other == (name, number + 1)}


def _place(example: Example) -> tuple[str, int | None]:
    """The document of an example, and its number there."""
    match = re.fullmatch(r"(.*?)(\d{1,18})", str(example.id), re.DOTALL)
    return (match[1], int(match[2])) if match else ("", None)
