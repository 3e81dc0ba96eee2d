import json

import numpy as np
import pytest

from hf_globalpointer.data import Entity, Example
from hf_globalpointer.evaluation.scored_documents import ScoredDocument, pair_predictions


def test_entities_given_twice_count_once_and_offsets_are_for_json() -> None:
    entity = Entity(0, 3, "person")
    prediction = {"entity_group": "person", "score": 0.75, "word": "", "start": np.int64(0), "end": np.int64(3)}
    document = ScoredDocument.from_pipeline(Example("Ada met Bob", (entity, entity)), [prediction, prediction])
    assert document.gold == {entity}
    assert document.predicted == {entity: 0.75}
    assert json.dumps([e.end for e in document.predicted]) == "[3]"


def test_each_example_needs_its_predictions() -> None:
    with pytest.raises(ValueError, match="2 examples, but predictions for 1"):
        pair_predictions([Example("a"), Example("b")], [[]])
