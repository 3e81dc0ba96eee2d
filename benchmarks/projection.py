"""What is lost where a head multiplies in half precision, as it does on a GPU under autocast: scores, and F1.

    python benchmarks/projection.py --model my-ner --data dev.jsonl [--data test.jsonl]

The encoder stays in float32, so that nothing else differs. The sums are those of a GPU but for their order: products
of rounded numbers, summed in float32. Scores are compared where the model finds an entity in float32.
"""

import argparse
import math
import statistics
from pathlib import Path
from unittest.mock import patch

import torch
from harness import report
from transformers import pipeline

from hf_globalpointer import read_examples, score_predictions
from hf_globalpointer.modeling import head_linear


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, action="append", help="checkpoint; may be repeated")
    parser.add_argument("--data", required=True, action="append", help="labeled examples; may be repeated")
    arguments = parser.parse_args()
    rows = []
    for model in arguments.model:
        recognize = pipeline("global-pointer-ner", model=model, batch_size=16)
        # As logits, so that differences are those of scores.
        recognize.model.config.calibration = None
        head = type(recognize.model.classifier).__name__
        for data in arguments.data:
            examples = list(read_examples(data))
            texts = [example.text for example in examples]
            scores = {}
            for dtype in (None, torch.bfloat16, torch.float16):
                with patch.object(head_linear, "product_dtype", lambda input, weight, dtype=dtype: dtype):
                    found = recognize(texts, threshold=1e-6, max_spans=100_000, overlap="all")
                    chosen = recognize(texts)
                scores[dtype] = {
                    (place, entity["entity_group"], entity["start"], entity["end"]): entity["score"]
                    for place, entities in enumerate(found)
                    for entity in entities
                }
                own = scores[None]
                entities = [span for span, score in own.items() if score > 0.5 and span in scores[dtype]]
                errors = [abs(logit(own[span]) - logit(scores[dtype][span])) for span in entities]
                changed = sum((own[span] > 0.5) != (scores[dtype].get(span, 0) > 0.5) for span in own)
                rows.append(
                    {
                        "head": head,
                        "data": f"{Path(data).parent.name} {Path(data).stem}",
                        "products in": str(dtype or torch.float32).removeprefix("torch."),
                        "F1": score_predictions(examples, chosen, recognize.labels).micro.f1,
                        "entities": sum(score > 0.5 for score in own.values()),
                        "of these or new ones, changed": changed,
                        "median error of a score": statistics.median(errors),
                        "largest": max(errors),
                    }
                )
    report(__file__, "Projection in half precision", rows)


def logit(probability: float) -> float:
    """The score of a probability, against the threshold."""
    return math.log(probability) - math.log1p(-min(probability, 1 - 1e-16))


if __name__ == "__main__":
    main()
