"""All model classes in the test suite of transformers itself."""

import unittest
from typing import ClassVar

from hf_globalpointer import (
    BertForEfficientGlobalPointer,
    BertForGlobalPointer,
    EncoderForEfficientGlobalPointer,
    EncoderForGlobalPointer,
)
from transformers_suite.testers import BERT, DEBERTA_V2, HEAD, MODERNBERT, ComposedModelTests, SpanModelTests


class BertForGlobalPointerTest(SpanModelTests, unittest.TestCase):
    model_class = BertForGlobalPointer
    config_fields: ClassVar = {**BERT, **HEAD}


class BertForEfficientGlobalPointerTest(SpanModelTests, unittest.TestCase):
    model_class = BertForEfficientGlobalPointer
    config_fields: ClassVar = {**BERT, **HEAD}


class EncoderForGlobalPointerTest(ComposedModelTests, unittest.TestCase):
    model_class = EncoderForGlobalPointer
    config_fields: ClassVar = {"encoder_config": {"model_type": "bert", **BERT}, **HEAD}


class EncoderForEfficientGlobalPointerTest(ComposedModelTests, unittest.TestCase):
    model_class = EncoderForEfficientGlobalPointer
    config_fields: ClassVar = {
        "encoder_config": {"model_type": "bert", **BERT},
        "span_representation": "hidden",
        **HEAD,
    }


class ModernBertInEncoderForGlobalPointerTest(ComposedModelTests, unittest.TestCase):
    model_class = EncoderForGlobalPointer
    config_fields: ClassVar = {"encoder_config": {"model_type": "modernbert", **MODERNBERT}, **HEAD}
    segments = False


class DebertaV2InEncoderForGlobalPointerTest(ComposedModelTests, unittest.TestCase):
    model_class = EncoderForGlobalPointer
    config_fields: ClassVar = {"encoder_config": {"model_type": "deberta-v2", **DEBERTA_V2}, **HEAD}
