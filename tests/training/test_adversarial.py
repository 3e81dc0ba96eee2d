import copy

import pytest
import torch

from conftest import MODELS, make_model
from hf_globalpointer.training.adversarial import fgm_perturbation


IDS = torch.arange(5, 17)[None]
GOLD = torch.tensor([[[0, 1, 2], [2, 5, 5]]])


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize("epsilon", [0.0, 0.7])
def test_the_gradient_is_that_of_both_places(kind: str, epsilon: float) -> None:
    model = make_model(kind)
    moved, before = copy.deepcopy(model), copy.deepcopy(model.state_dict())
    loss = model(IDS, labels=GOLD).loss
    loss.backward()
    own = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    with fgm_perturbation(model, epsilon):
        higher = model(IDS, labels=GOLD).loss
        higher.backward()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert (higher > loss) == (epsilon > 0)

    direction = own["bert.embeddings.word_embeddings.weight"]
    moved.bert.embeddings.word_embeddings.weight.data += epsilon * direction / direction.square().sum().sqrt()
    moved(IDS, labels=GOLD).loss.backward()
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, own[name] + moved.get_parameter(name).grad)


def test_the_embeddings_come_back_after_an_error() -> None:
    model = make_model("efficient")
    with pytest.raises(ValueError, match="go backward first"), fgm_perturbation(model):
        pass
    model(IDS, labels=GOLD).loss.backward()
    before = model.get_input_embeddings().weight.clone()
    with pytest.raises(ValueError, match="is not a span"), fgm_perturbation(model):
        model(IDS, labels=GOLD + 99)
    assert torch.equal(model.get_input_embeddings().weight, before)
