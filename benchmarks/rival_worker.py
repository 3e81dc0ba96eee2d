"""Times of SpanMarker and GLiNER, each in an environment of its own; started by pipeline.py.

    PYTHON benchmarks/rival_worker.py spanmarker|gliner

First reads one line of JSON: the folder of the encoder, the labels, the texts, the batch size, and how many entities
to find in how many texts. Then, for every further line, predicts once and prints the number of entities found.
"""

import json
import sys
from collections.abc import Callable, Sequence

import torch
from harness import level_for


DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
# Predicts the texts, and returns how many entities it found.
Predict = Callable[[Sequence[str]], int]


def spanmarker(encoder: str, labels: list[str], batch_size: int, few: Sequence[str], wanted: int) -> Predict:
    """An untrained SpanMarker of the lengths that its documentation and its released models have.

    That is 256 tokens, 128 pairs of markers, entities of up to 8 words. With the 512 tokens of the encoder, which it
    would take by itself, every input would be padded to 768 instead of 512. The bias of the class "O" is set so that
    about as many entities come out as the texts have.
    """
    from span_marker import SpanMarkerModel

    model = SpanMarkerModel.from_pretrained(
        encoder, labels=["O", *labels], model_max_length=256, marker_max_length=128, entity_max_length=8
    ).to(DEVICE)

    def predict(texts: Sequence[str]) -> int:
        return sum(map(len, model.predict(list(texts), batch_size=batch_size)))

    def at(level: float) -> int:
        model.classifier.bias.data[0] = level
        return predict(few)

    level_for(at, wanted)
    return predict


def gliner(encoder: str, labels: list[str], batch_size: int, few: Sequence[str], wanted: int) -> Predict:
    """A GLiNER with an untrained head and the defaults of its configuration but for the encoder.

    That is the uni-encoder with spans of up to 12 words ("markerV0"), hidden size 512, one LSTM layer, 384 words, as
    in the released gliner_small. The labels are its prompt. The threshold is set so that about as many entities come
    out as the texts have; they are chosen flat and with one label, as is its default.
    """
    from gliner import GLiNER, GLiNERConfig

    model = GLiNER.from_config(GLiNERConfig(model_name=encoder), map_location=DEVICE)
    threshold = 0.5

    def predict(texts: Sequence[str]) -> int:
        return sum(map(len, model.inference(list(texts), labels, threshold=threshold, batch_size=batch_size)))

    def at(level: float) -> int:
        nonlocal threshold
        threshold = float(torch.tensor(level, dtype=torch.float64).sigmoid())
        return predict(few)

    level_for(at, wanted)
    return predict


def main() -> None:
    """Serve until there are no more lines."""
    torch.manual_seed(0)
    task = json.loads(sys.stdin.readline())
    texts = task.pop("texts")
    few = texts[: task.pop("few")]
    predict = {"spanmarker": spanmarker, "gliner": gliner}[sys.argv[1]](few=few, **task)
    for _ in sys.stdin:
        # A line of its own, that nothing the libraries print can be taken for.
        print(f"\nentities {predict(texts)}", flush=True)


if __name__ == "__main__":
    main()
