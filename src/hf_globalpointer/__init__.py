"""GlobalPointer and Efficient GlobalPointer span-based named-entity recognition for Hugging Face Transformers."""

import sys
from importlib.util import find_spec

import lazy_loader


__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

# Loading Transformers takes seconds, which the command line spends only where it needs a model; [`Recognizer`] needs
# neither it nor PyTorch to be there.
if "hf_globalpointer_cli" not in sys.modules and find_spec("transformers") and find_spec("torch"):
    from .registration import register

    register()
