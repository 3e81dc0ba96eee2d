"""The nearest classes of transformers in the same harness: what they pass, ours must pass or say why not."""

import unittest
from typing import ClassVar

from transformers import BertForTokenClassification, DebertaV2ForTokenClassification, ModernBertForTokenClassification

from transformers_suite.testers import BERT, DEBERTA_V2, MODERNBERT, ModelTests


class BertForTokenClassificationTest(ModelTests, unittest.TestCase):
    model_class = BertForTokenClassification
    config_fields: ClassVar = BERT


class ModernBertForTokenClassificationTest(ModelTests, unittest.TestCase):
    model_class = ModernBertForTokenClassification
    config_fields: ClassVar = MODERNBERT
    segments = False


class DebertaV2ForTokenClassificationTest(ModelTests, unittest.TestCase):
    model_class = DebertaV2ForTokenClassification
    config_fields: ClassVar = DEBERTA_V2
