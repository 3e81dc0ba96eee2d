"""What the suite of transformers asks of a model class: a tiny configuration, inputs, and labels."""

import copy
import tempfile
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedConfig, PreTrainedModel

from transformers_suite.suite import ConfigTester, ModelTesterMixin, ids_tensor


BERT = {
    "vocab_size": 99,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 37,
    "max_position_embeddings": 64,
    "type_vocab_size": 2,
    "pad_token_id": 0,
}
SPECIAL_TOKENS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
MODERNBERT = {
    **{name: value for name, value in BERT.items() if name != "type_vocab_size"},
    **SPECIAL_TOKENS,
    "global_attn_every_n_layers": 2,
    "local_attention": 4,
}
DEBERTA_V2 = {**BERT, "relative_attention": True, "pos_att_type": ["c2p", "p2c"], "position_biased_input": False}
HEAD = {"labels": ["date", "person", "place"], "head_size": 8}


class TinyModelTester:
    """The `model_tester` of the suite, which reads the sizes here and calls `prepare_config_and_inputs_for_common`."""

    batch_size = 5
    seq_length = 7
    is_training = True
    hidden_size = BERT["hidden_size"]
    num_hidden_layers = BERT["num_hidden_layers"]
    num_attention_heads = BERT["num_attention_heads"]

    def __init__(self, config_class: type[PreTrainedConfig], segments: bool, **config: Any) -> None:
        self.config_class = config_class
        self.segments = segments
        self.config = config

    def get_config(self) -> PreTrainedConfig:
        return self.config_class(**copy.deepcopy(self.config))

    def prepare_config_and_inputs_for_common(self) -> tuple[PreTrainedConfig, dict[str, Tensor]]:
        shape = [self.batch_size, self.seq_length]
        lengths = self.seq_length - torch.arange(self.batch_size)[:, None] % 3
        inputs = {
            "input_ids": ids_tensor(shape, BERT["vocab_size"]),
            "attention_mask": (torch.arange(self.seq_length) < lengths).long(),
        }
        if self.segments:
            inputs["token_type_ids"] = ids_tensor(shape, BERT["type_vocab_size"])
        return self.get_config(), inputs


class ModelTests(ModelTesterMixin):
    """The suite on one model class; a test class adds the class and its configuration."""

    model_class: ClassVar[type[PreTrainedModel]]
    config_fields: ClassVar[dict[str, Any]]
    segments: ClassVar[bool] = True
    # The suite asks this of models from 2023 on, and reads the year in a copyright line; ours have none.
    test_can_init_all_missing_weights_before_2023 = True

    @property
    def all_model_classes(self) -> tuple[type[PreTrainedModel]]:
        return (self.model_class,)

    def setUp(self) -> None:
        config_class = self.model_class.config_class
        self.model_tester = TinyModelTester(config_class, self.segments, **self.config_fields)
        self.config_tester = ConfigTester(self, config_class=config_class, hidden_size=37)

    def test_config(self) -> None:
        self.config_tester.run_common_tests()


class SpanModelTests(ModelTests):
    """What is the same for all GlobalPointer models."""

    def _prepare_for_class(
        self, inputs_dict: dict[str, Any], model_class: type[PreTrainedModel], return_labels: bool = False
    ) -> dict[str, Any]:
        inputs = super()._prepare_for_class(inputs_dict, model_class, return_labels=return_labels)
        if return_labels:
            # The suite knows the labels of transformers' own tasks alone.
            rows = [[[0, 0, 1], [2, 2, 2]], [[1, 0, 3], [-100, -100, -100]]]
            inputs["labels"] = torch.tensor((rows * self.model_tester.batch_size)[: self.model_tester.batch_size])
        return inputs


class ComposedModelTests(SpanModelTests):
    """What is different for models that hold the configuration of their encoder in their own."""

    _is_composite = True

    def setUp(self) -> None:
        super().setUp()
        self.config_tester = ConfigTester(
            self,
            config_class=self.model_class.config_class,
            has_text_modality=False,
            common_properties=["encoder_config", "hidden_size", "head_size"],
            head_size=32,
        )

    def test_correct_missing_keys(self) -> None:
        # The suite saves the encoder and loads the folder with `from_pretrained`. The file of an encoder is no
        # configuration of a composed model, nor does it name entity types: such a model starts from pretrained parts
        # with a method of its own, as `EncoderDecoderModel.from_encoder_decoder_pretrained` does.
        model = self.model_class(self.model_tester.get_config())
        with tempfile.TemporaryDirectory() as folder:
            model.base_model.save_pretrained(folder)
            with pytest.raises(ValueError, match="from_encoder_pretrained"):
                self.model_class.from_pretrained(folder)
            started = self.model_class.from_encoder_pretrained(folder, **HEAD)
        assert started.state_dict().keys() == model.state_dict().keys()
        for name, weight in model.base_model.state_dict().items():
            torch.testing.assert_close(started.base_model.state_dict()[name], weight, rtol=0, atol=0)

    def test_sdpa_can_dispatch_composite_models(self) -> None:
        # The suite looks for an image or audio tower beside a language model, and says that a model with other parts
        # has to overwrite this test.
        model = self.model_class(self.model_tester.get_config())
        with tempfile.TemporaryDirectory() as folder:
            model.save_pretrained(folder)
            default = self.model_class.from_pretrained(folder)
            eager = self.model_class.from_pretrained(folder, attn_implementation="eager")
        best = "sdpa" if default.base_model._supports_sdpa else "eager"
        assert default.base_model.config is default.config.encoder_config
        assert default.base_model.config._attn_implementation == best
        configs = [module.config for module in eager.modules() if hasattr(module, "config")]
        assert len(configs) > 2
        assert {config._attn_implementation for config in configs} == {"eager"}
