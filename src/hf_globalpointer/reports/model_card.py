"""Model cards: the README.md of a checkpoint, with metadata for the Hub, written from what is known and measured."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from os import PathLike
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCard, ModelCardData
from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]
from transformers import (
    PreTrainedConfig,
    PreTrainedModel,
)

from ..data import AlignmentReport, Example
from ..data.overlaps import find_overlaps
from ..modeling.remote_code import TASK
from ..modeling.span_heads import EfficientGlobalPointerHead
from .markdown import literal, table


_TAGS = ["hf-globalpointer", TASK, "global-pointer", "named-entity-recognition", "nested-ner"]
_HEAD_SETTINGS = (
    "head_size",
    "span_representation",
    "use_rope",
    "rope_theta",
    "head_dropout",
    "span_loss",
    "score_threshold",
    "thresholds",
    "overlap",
    "max_span_length",
    "max_length",
)
_OVERLAPS = {
    "all": "entities may be nested, cross each other and share a span",
    "nested": "entities may be nested and share a span, but not cross each other",
    "flat": "entities do not overlap",
}
_METRICS = {"precision": "precision", "recall": "recall", "f1": "F1"}


@dataclass(frozen=True)
class SplitStatistics:
    """What a split of the data holds.

    Args:
        examples (`int`): Its texts.
        entities (`Counter[str]`): Its distinct entities of each type.
        nested (`int`): The entities that lie inside another one or around one.
        unaligned (`int`): The entities that no sequence of whole tokens spells.
    """

    examples: int
    entities: Counter[str]
    nested: int
    unaligned: int

    @classmethod
    def from_examples(cls, examples: Sequence[Example], report: AlignmentReport) -> "SplitStatistics":
        """Count, given the report of the alignment of these examples."""
        distinct = [set(example.entities) for example in examples]
        return cls(
            examples=len(examples),
            entities=Counter(entity.label for entities in distinct for entity in entities),
            nested=sum(len(find_overlaps(entities).nested) for entities in distinct),
            unaligned=len(report.unaligned),
        )


@dataclass(kw_only=True)
class GlobalPointerModelCard:
    """The facts about a model that its card tells; what is not known is not in the card.

    Made with [`from_model`] before training, completed in training by [`ModelCardCallback`] or by hand.

    Args:
        name (`str`): The model's Hub id, "org/name", or the name of its folder; what the usage code loads.
        dataset (`str`): The Hub id of the training data, "org/name", or what they are called.
        model_class (`str`): The class of the model.
        head (`str`): The kind of its head, in words.
        encoder_class (`str`): The class of its encoder.
        num_parameters (`int`): The number of all its parameters.
        config (`PreTrainedConfig`): Its configuration.
        base_model (`str`, *optional*): The Hub id of the encoder it was fine-tuned from.
        language (`str`, *optional*): ISO 639 code of the language of the texts, or "multilingual".
        license (`str`, *optional*): The model's license, as the Hub spells it.
        statistics (`dict[str, SplitStatistics]`): What the splits of the data hold.
        scores (`dict[str, Mapping[str, float]]`):
            Of each evaluated split, the numbers that `SpanMetrics.to_dict` gives; other names are skipped.
        hyperparameters (`dict[str, Any]`): How it was trained.
        epoch (`float`, *optional*): The number of epochs after which the weights were taken.

    Raises:
        ValueError: If the Hub would reject the card for one of these.
    """

    name: str
    dataset: str
    model_class: str
    head: str
    encoder_class: str
    num_parameters: int
    config: PreTrainedConfig
    base_model: str | None = None
    language: str | None = None
    license: str | None = None
    statistics: dict[str, SplitStatistics] = field(default_factory=dict)
    scores: dict[str, Mapping[str, float]] = field(default_factory=dict)
    hyperparameters: dict[str, Any] = field(default_factory=dict)
    epoch: float | None = None

    def __post_init__(self) -> None:
        for what, name in (("model", self.name), ("data", self.dataset)):
            if not name or ("/" in name and not _is_hub_id(name)):
                raise ValueError(f"the {what} cannot be called {name!r}: give a Hub id (org/name) or a plain name.")
        if self.language is not None and not re.fullmatch("[a-z]{2,3}|multilingual", self.language):
            raise ValueError(f"language {self.language!r} is no ISO 639 code, such as en, nor multilingual.")
        if self.license is not None and not re.fullmatch("[a-z0-9.-]+", self.license):
            raise ValueError(f"license {self.license!r} is not spelt as the Hub does, such as apache-2.0.")

    @classmethod
    def from_model(
        cls,
        model: PreTrainedModel,
        name: str,
        dataset: str,
        *,
        data: Mapping[str, tuple[Sequence[Example], AlignmentReport]] | None = None,
        language: str | None = None,
        license: str | None = None,
    ) -> "GlobalPointerModelCard":
        """The card of a model that is to be trained; call it before training, while its encoder is where it was.

        Args:
            model (`PreTrainedModel`): A GlobalPointer model.
            name (`str`): Its Hub id, "org/name", or the name of the folder it will be saved in.
            dataset (`str`): The Hub id of the training data, "org/name", or what they are called.
            data (`dict[str, tuple]`, *optional*): The examples of each split, and the report of their alignment.
            language (`str`, *optional*): ISO 639 code of the language of the texts, or "multilingual".
            license (`str`, *optional*): The model's license, as the Hub spells it.

        Raises:
            ValueError: If the Hub would reject the card for one of these.
        """
        # A model that was composed of an encoder and a new head has no name of its own.
        start = model.name_or_path or model.base_model.name_or_path
        return cls(
            name=name,
            dataset=dataset,
            model_class=type(model).__name__,
            head=f"{'Efficient ' * isinstance(model.classifier, EfficientGlobalPointerHead)}GlobalPointer",
            encoder_class=type(model.base_model).__name__,
            num_parameters=model.num_parameters(),
            config=model.config,
            # Relative paths may look like Hub ids; what exists here was loaded from here.
            base_model=start if _is_hub_id(start) and not Path(start).exists() else None,
            language=language,
            license=license,
            statistics={split: SplitStatistics.from_examples(*pair) for split, pair in (data or {}).items()},
        )

    def save(self, folder: str | PathLike[str]) -> None:
        """Write the card as README.md into a folder."""
        self.to_card().save(Path(folder) / "README.md")

    def to_card(self) -> ModelCard:
        """The card, as `huggingface_hub` handles it."""
        sections = [
            self._introduction(),
            self._usage(),
            self._data(),
            self._results(),
            self._training(),
            self._limits(),
        ]
        body = "\n\n".join(section for section in sections if section)
        return ModelCard(f"---\n{self._metadata().to_yaml()}\n---\n\n{body}\n")

    def _metadata(self) -> ModelCardData:
        is_hub_dataset = "/" in self.dataset
        results = [
            EvalResult(
                task_type="token-classification",
                task_name="Named Entity Recognition",
                dataset_type=self.dataset if is_hub_dataset else "unknown",  # the Hub takes only ids here
                dataset_name=self.dataset,
                dataset_split=split,
                metric_type=metric,
                metric_name=metric_name,
                metric_value=float(scores[metric]),
                verified=False,
            )
            for split, scores in self.scores.items()
            for metric, metric_name in _METRICS.items()
        ]
        return ModelCardData(
            language=self.language,
            license=self.license,
            library_name="transformers",
            # Of the tasks that the Hub knows, the one this is a kind of.
            pipeline_tag="token-classification",
            tags=_TAGS,
            base_model=self.base_model,
            datasets=[self.dataset] if is_hub_dataset else None,
            metrics=list(_METRICS) if results else None,
            model_name=self._title if results else None,
            eval_results=results or None,
        )

    @property
    def _title(self) -> str:
        return self.name.rpartition("/")[2]

    def _introduction(self) -> str:
        tokens = self.config.max_span_length
        longest = f"; they have at most {tokens} tokens" if tokens else "; they are of any length"
        start = f", fine-tuned from {_hub_link(self.base_model)}" if self.base_model else ""
        facts = {
            "Model": f"`{self.model_class}`, {self.num_parameters:,} parameters",
            "Encoder": f"`{self.encoder_class}`, hidden size {self.config.hidden_size}",
            "Training data": _hub_link(self.dataset, "datasets/") if "/" in self.dataset else literal(self.dataset),
            "Language": self.language,
            "License": self.license,
        }
        lines = "\n".join(f"- {name}: {fact}" for name, fact in facts.items() if fact)
        return f"""# {literal(self._title)}

{self.head} ([Su et al., 2022](https://arxiv.org/abs/2208.03054)) for named-entity recognition{start}.
It gives every span of a text a score for each of {self.config.num_labels} entity types and predicts the spans that \
score above a threshold: {_OVERLAPS[self.config.overlap]}{longest}.

{lines}"""

    def _usage(self) -> str:
        replace = "" if "/" in self.name else "; replace the name of the model by the path of its folder"
        return f"""## Usage

With the package hf-globalpointer installed{replace}:

```python
import hf_globalpointer  # makes Transformers know the model and the task
from transformers import pipeline

recognize = pipeline("{TASK}", model={json.dumps(self.name, ensure_ascii=False)})
for entity in recognize("The University of Leeds lies in Leeds."):
    print(entity["entity_group"], entity["start"], entity["end"], entity["word"], entity["score"])
```

The task is `{TASK}`; the tasks `ner` and `token-classification` do not take this model."""

    def _data(self) -> str:
        types = [
            [literal(label), *(f"{split.entities[label]:,}" for split in self.statistics.values())]
            for label in self.config.label2id
        ]
        text = f"## Entity types and data\n\n{table(['type', *map(literal, self.statistics)], types)}"
        if not self.statistics:
            return text
        rows = []
        for name, split in self.statistics.items():
            total = split.entities.total()
            share = f" ({split.nested / total:.1%})" if total else ""
            numbers = f"{split.examples:,}", f"{total:,}", f"{split.nested:,}{share}", f"{split.unaligned:,}"
            rows.append([literal(name), *numbers])
        return f"""{text}

{table(["split", "examples", "entities", "nested", "not aligned"], rows)}

Nested entities lie inside another one or around one. Those not aligned begin or end where no token does, or are \
longer than the windows that long texts are cut into; the model can neither learn nor predict them."""

    def _results(self) -> str:
        if not self.scores:
            return ""
        affixes = {literal(label): ("", f"_{label}") for label in self.config.label2id}
        affixes |= {"**micro**": ("", ""), "**macro**": ("macro_", "")}
        rows = []
        for name, (before, after) in affixes.items():
            values = [scores.get(f"{before}{metric}{after}") for scores in self.scores.values() for metric in _METRICS]
            if any(value is not None for value in values):
                rows.append([name, *("" if value is None else f"{value:.4f}" for value in values)])
        columns = [f"{literal(split)} {name}" for split in self.scores for name in _METRICS.values()]
        return f"""## Results

Strict scores: a predicted entity is right only if its type, start and end all are.

{table(["type", *columns], rows)}"""

    def _training(self) -> str:
        settings = self.config.to_dict()
        values = self.hyperparameters | {name: settings.get(name) for name in _HEAD_SETTINGS}
        rows = [[f"`{name}`", _value(value)] for name, value in values.items() if value is not None]
        weights = "" if self.epoch is None else f"The weights are those after epoch {self.epoch:.4g}.\n\n"
        packages = ("hf-globalpointer", "transformers", "torch", "tokenizers")
        versions = ", ".join(f"{package} {version(package)}" for package in packages)
        return f"""## Training

{weights}{table(["setting", "value"], rows)}

Versions: {versions}."""

    def _limits(self) -> str:
        window = f"{self.config.max_length} tokens" if self.config.max_length else "the encoder takes"
        unknown = "the domain" if self.language else "the language and the domain"
        return f"""## Limits

- Nothing is stated here about {unknown} of the training texts; expect lower scores on texts that are unlike them.
- An entity begins and ends where tokens of the tokenizer do; no other span can be predicted.
- Texts longer than {window} are read in overlapping windows; an entity longer than the overlap may be missed.
- Of the spans of one window at most {self.config.max_spans:,}, the best ones, are predicted.
- The score of an entity is for ranking and thresholds; it is no calibrated probability."""


def _is_hub_id(name: str) -> bool:
    try:
        validate_repo_id(name)
    except HFValidationError:
        return False
    return True


def _hub_link(name: str, kind: str = "") -> str:
    return f"[{literal(name)}](https://huggingface.co/{kind}{name})"


def _value(value: Any) -> str:
    """A setting as text: names and numbers as they are, lists and mappings in words."""
    if isinstance(value, Mapping):
        value = [f"{key}: {item:g}" for key, item in value.items()]
    if isinstance(value, list):
        return ", ".join(map(_value, value))
    return f"{value:g}" if isinstance(value, float) else literal(str(value))
