"""What a run remembers of the functions that make its network and data: their names, which nothing here runs."""

import runpy
import sys

import pytest
import torch
from torch import nn

from checkpoints import CheckpointError, Recorder, open_run
from checkpoints.factories import LOSSES, factories_of, with_factories
from training import own_losses


def make_model():
    return nn.Linear(2, 2)


def margin(outputs, targets):
    return outputs.mean()


class Net(nn.Linear):
    def __init__(self):
        super().__init__(2, 2)

    def twice(self):
        return self


def test_functions_classes_and_names_are_remembered_in_the_file(tmp_path):
    named = {"model_factory": Net, "data_factory": "nowhere.at_all:data", "loss": "mse", "metric": margin}
    with Recorder(tmp_path / "r.h5", Net(), metadata={"seed": 3}, **named) as recorder:
        recorder.record(0)
    wanted = {"model_factory": f"{__name__}:Net", "data_factory": "nowhere.at_all:data", "loss": "mse"}
    wanted["metric"] = f"{__name__}:margin"
    with open_run(tmp_path / "r.h5") as run:
        assert run.metadata == {"seed": 3, **wanted}
        assert factories_of(run.metadata) == wanted
    assert "nowhere" not in sys.modules


def test_a_function_of_torch_is_a_loss():
    named = with_factories({}, loss=nn.functional.cross_entropy)
    assert named == {"loss": "torch.nn.functional:cross_entropy"}


def local():
    def inside():
        return make_model()

    return inside


WRONG = {
    "lambda": ({"model_factory": lambda: None}, "<lambda>, which cannot be imported by its name"),
    "inside": ({"model_factory": local()}, "inside, which cannot be imported by its name"),
    "method": ({"model_factory": Net().twice}, r"Net\.twice, which cannot be imported by its name"),
    "object": ({"loss": nn.CrossEntropyLoss()}, "loss is a CrossEntropyLoss; it must be a function with a name"),
    "number": ({"data_factory": 3}, "data_factory is a int; it must be a function"),
    "path": ({"data_factory": "data/train.npz"}, "'data/train.npz'; it must be a function or its package.module:"),
    "loss as metric": ({"metric": "mse"}, "metric is 'mse'; it must be a function or its package.module:function"),
    "word": ({"loss": "mean"}, "or one of cross-entropy, next-token, mse"),
    "typing error": ({"model_factory": f"{__name__}:make_modell"}, "has no function make_modell"),
    "no function": ({"model_factory": f"{__name__}:WRONG"}, "has no function WRONG"),
    "twice": ({"loss": "l1", "metadata": {"loss": "mse"}}, "loss is 'l1', but the metadata say 'mse'; give it once"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_mistakes_are_one_sentence_before_anything_is_recorded(kind, tmp_path):
    given, said = WRONG[kind]
    with pytest.raises(CheckpointError, match=said) as refused:
        Recorder(tmp_path / "r.h5", Net(), **given)
    assert "\n" not in str(refused.value)
    assert not list(tmp_path.iterdir())


def test_a_script_goes_by_its_file_seen_from_where_one_stands(tmp_path, monkeypatch):
    script = tmp_path / "work" / "toy.py"
    script.parent.mkdir()
    text = "from checkpoints.factories import with_factories\ndef net():\n    pass\n"
    script.write_text(text + "found = with_factories({}, model_factory=net)['model_factory']\n")
    for place, wanted in ((tmp_path, "work.toy:net"), (script.parent, "toy:net"), (script.parent.parent.parent, None)):
        monkeypatch.chdir(place)
        found = runpy.run_path(str(script), run_name="__main__")["found"]
        assert found == (wanted or f"{tmp_path.name}.work.toy:net")


def test_what_is_no_name_is_not_taken_for_one():
    metadata = {"model_factory": "net", "data_factory": ["a:b"], "loss": "evil \x1b[2J", "seed": 1}
    assert factories_of(metadata) == {}
    assert factories_of({"model_factory": f"a:{'b' * 300}", "loss": "l1"}) == {"loss": "l1"}


def test_the_store_knows_the_losses_of_the_training():
    assert LOSSES == own_losses.LOSSES


def test_a_recording_with_names_takes_the_same_steps(tmp_path):
    def train(**named):
        torch.manual_seed(0)
        model = Net()
        with Recorder(tmp_path / f"{len(named)}.h5", model, **named) as recorder:
            for step in range(2):
                model(torch.randn(3, 2)).sum().backward()
                with torch.no_grad():
                    model.weight -= 0.1 * model.weight.grad
                recorder.record(step)
        return model.weight

    assert torch.equal(train(), train(model_factory=Net, loss="mse"))
