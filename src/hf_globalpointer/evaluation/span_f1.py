"""Strict span precision, recall and F1 as a module of the library Evaluate, loaded by `evaluate.load(SPAN_F1)`."""

# Evaluate copies this file and reads its imports by a pattern: no `import a, b`, nothing relative.
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import datasets  # type: ignore[import-untyped]
import evaluate  # type: ignore[import-untyped]

from hf_globalpointer.data.examples import Entity
from hf_globalpointer.evaluation.metrics import SpanMetrics


_DESCRIPTION = """Strict precision, recall and F1 of named entities given as spans, which may be nested or overlap.
A predicted entity is correct only if its label, start and end all are."""
_CITATION = """@article{su2022globalpointer,
  title = {Global Pointer: Novel Efficient Span-based Approach for Named Entity Recognition},
  author = {Su, Jianlin and Murtadha, Ahmed and Pan, Shengfeng and Hou, Jing and Sun, Jun and Huang, Wanwei and
    Wen, Bo and Liu, Yunfeng},
  journal = {arXiv:2208.03054},
  year = {2022}
}"""
_INPUTS = """
Args:
    predictions (`list` of `list` of `dict`):
        For each text, its predicted entities as the pipeline gives them: `entity_group`, `score`, `word`, `start`
        and `end`, all of them.
    references (`list` of `list` of `dict`): For each text, its gold entities: `label`, `start` and `end`.
    labels (`list` of `str`, *optional*): Labels to list first, whether they occur or not.
    per_label (`bool`, *optional*, defaults to `True`): Whether to give the scores of each label.

Returns:
    `dict[str, float]`: `precision`, `recall` and `f1` (micro), `macro_f1` and so on, `f1_<label>` and so on.
"""


class SpanF1(evaluate.Metric):
    """The metric; what it takes and gives is in its `inputs_description`."""

    def _info(self) -> evaluate.MetricInfo:
        string, integer = datasets.Value("string"), datasets.Value("int64")
        # Evaluate takes neither more nor fewer fields.
        predicted = {
            "entity_group": string,
            "score": datasets.Value("float64"),
            "word": string,
            "start": integer,
            "end": integer,
        }
        gold = {"start": integer, "end": integer, "label": string}
        return evaluate.MetricInfo(
            description=_DESCRIPTION,
            citation=_CITATION,
            inputs_description=_INPUTS,
            features=datasets.Features({"predictions": [predicted], "references": [gold]}),
        )

    def _compute(
        self,
        predictions: Sequence[Sequence[Mapping[str, Any]]],
        references: Sequence[Sequence[Mapping[str, Any]]],
        labels: Iterable[str] = (),
        per_label: bool = True,
    ) -> dict[str, float]:
        return SpanMetrics.from_documents(
            _entities(references, "label"), _entities(predictions, "entity_group"), labels
        ).to_dict(per_label)


def _entities(documents: Sequence[Sequence[Mapping[str, Any]]], label: str) -> list[list[Entity]]:
    return [[Entity(e["start"], e["end"], e[label]) for e in entities] for entities in documents]
