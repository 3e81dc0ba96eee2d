"""The demo app as a Hugging Face Space."""

import os

from transformers import pipeline

from hf_globalpointer.demo.app import launch


MODELS = os.environ.get("MODELS", "me/my-ner").split()

if __name__ == "__main__":
    launch({name: pipeline("global-pointer-ner", model=name) for name in MODELS})
