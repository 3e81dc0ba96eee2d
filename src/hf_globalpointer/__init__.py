"""GlobalPointer and Efficient GlobalPointer span-based named-entity recognition for Hugging Face Transformers."""

import sys

import lazy_loader


__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

# Loading Transformers takes seconds, which the command line spends only where it needs a model.
if "hf_globalpointer_cli" not in sys.modules:
    from .registration import register

    register()
