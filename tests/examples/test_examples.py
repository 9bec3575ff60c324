"""The examples run as they are, with three added lines each, and what they recorded is what they trained."""

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from checkpoints import open_run, read_result
from cli import main
from tests.pages.conftest import navigation  # noqa: F401  # a fixture
from tests.pages.test_pages import PAGES, charts, visit

ROOT = Path(__file__).parents[2]
# Runs an example's main as a script would, then keeps the weights of the network that it made.
SCRIPT = """
import functools, importlib, sys, torch
torch.set_num_threads(1)
example = importlib.import_module(sys.argv.pop(1))
make, made = example.make_model, []
example.make_model = functools.wraps(make)(lambda: made.append(make()) or made[-1])
weights = sys.argv.pop(1)
example.main()
torch.save(made[-1].state_dict(), weights)
"""


ARGUMENTS = {
    "plain": ["--epochs", "1"],
    "resnet18": ["--steps", "1"],
    "gpt": ["--steps", "12"],
    "with_lightning": ["--epochs", "1"],
    "with_huggingface": ["--epochs", "1"],
}


class Examples:
    """Every example, trained once, and the experiment made of its run, for all tests of this file; read them only."""

    def __init__(self, folder):
        self.folder, self.home, self._shown = folder, folder / "home", {}

    def run(self, name):
        """Train an example in a process of its own; gives the run and the weights it ended with."""
        place, weights = self.folder / f"{name}.h5", self.folder / f"{name}.pt"
        if not place.exists():
            command = [sys.executable, "-c", SCRIPT, f"examples.{name}", weights, *ARGUMENTS[name], "--out", place]
            done = subprocess.run(list(map(str, command)), cwd=ROOT, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        return open_run(place), torch.load(weights)

    def experiment(self, name):
        """Import a run, grant what it names, measure a small surface and SAL; gives its folder and what ``show`` says.

        ``two`` is the plain loop beside a copy of itself, ``unknown`` one whose network and data nobody named.
        """
        if name not in self._shown:
            of = name if name in ARGUMENTS else "plain"
            run, _ = self.run(of)
            with run:
                named = [run.metadata["model_factory"], run.metadata["data_factory"]]
            files = [self.folder / f"{of}.h5"]
            if of != name:
                files.append(shutil.copyfile(files[0], self.folder / "other.h5"))
            self._shown[name] = self._typed(name, files, named)
        return self.home / name, self._shown[name]

    def _typed(self, name, files, named):
        place = self.home / name
        measured = [
            ["trust", place, *named],
            ["surface", place, "--grid", 2, "--samples", 20],
            ["ud" if name == "two" else "sal", place, "--samples", 20],
        ]
        for command in (["import", place, *files], *([] if name == "unknown" else measured), ["show", place]):
            result = CliRunner().invoke(main, list(map(str, command)))
            assert result.exit_code == 0, (command, result.output)
        return result.output


@pytest.fixture(scope="module")
def examples(tmp_path_factory):
    return Examples(tmp_path_factory.mktemp("examples"))


@pytest.fixture(autouse=True)
def _at_home(examples, monkeypatch):
    """Where somebody stands who types the commands of the guide."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(examples.folder / "config"))
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(examples.home))


def becomes_an_experiment(name, examples, *, checkpoints):
    """The run names what made it, and is shown and measured as an experiment."""
    place, shown = examples.experiment(name)
    module = f"examples.{name}"
    with open_run(examples.folder / f"{name}.h5") as run:
        network, data = run.metadata["model_factory"], run.metadata["data_factory"]
    assert (network, data) == (f"{module}:{'GPT' if name == 'gpt' else 'make_model'}", f"{module}:make_data")
    assert f"finished, {checkpoints} checkpoints" in shown
    assert "2×2 on training data (20 samples)" in shown
    assert "by gradient, one block per layer" in shown
    (surface,) = (place / "surfaces").glob("*.h5")
    loss = read_result(surface, kind="surface").arrays["loss"]
    assert loss.shape == (2, 2)
    assert np.isfinite(loss).all()
    said = CliRunner().invoke(main, ["check", str(place)]).output
    metric, last = (
        ("eval_loss", 1) if name == "with_huggingface" else ("test_loss", 1 if "with" in name else checkpoints - 1)
    )
    assert f"{name}-s0, {metric} on test data: agrees at {last} of {last} checkpoints" in said


def same(state, weights):
    return set(state) == set(weights) and all(torch.equal(state[name], weights[name]) for name in weights)


def added_lines(name):
    lines = (ROOT / "examples" / f"{name}.py").read_text().splitlines()
    recording = [line for line in lines if "checkpoints" in line or "ecord" in line.split('"""')[0]]
    return [line for line in lines if "# added" in line], recording


@pytest.mark.parametrize("name", ["plain", "resnet18", "gpt", "with_lightning", "with_huggingface"])
def test_no_more_than_three_lines_were_added(name):
    added, recording = added_lines(name)
    assert 1 <= len(added) <= 3
    assert set(recording) <= set(added), "every line about recording is marked"


def test_plain_loop(examples):
    run, weights = examples.run("plain")
    with run:
        assert list(run.steps) == [0, 10, 20, 30]
        assert list(run.epochs[1:]) == pytest.approx([1 / 3, 2 / 3, 1])
        assert run.metrics["batch_loss"][-1] < run.metrics["batch_loss"][1]
        assert same(run.state_dict(3), weights)
    becomes_an_experiment("plain", examples, checkpoints=4)


@pytest.mark.slow
def test_resnet18_keeps_its_frozen_layers_and_buffers(examples):
    run, weights = examples.run("resnet18")
    with run:
        assert list(run.steps) == [0, 1]
        assert {name.split(".")[0] for name in run.parameters.names} == {"layer3", "layer4", "fc"}
        first, last = run.state_dict(0), run.state_dict(1)
        assert same(last, weights)
        assert torch.equal(first["layer1.0.conv1.weight"], last["layer1.0.conv1.weight"]), "frozen"
        assert last["layer1.0.bn1.num_batches_tracked"] == 1, "a buffer that moved"
    becomes_an_experiment("resnet18", examples, checkpoints=2)


def test_gpt_stores_its_tied_weights_once(examples):
    run, weights = examples.run("gpt")
    example = importlib.import_module("examples.gpt")
    torch.manual_seed(0)
    model, (train, _) = example.make_model(), example.make_data()
    with run:
        assert list(run.steps) == list(range(13)), "dense at first"
        assert "token.weight" in run.parameters.names
        assert "head.weight" not in run.parameters.names
        assert same(run.state_dict(12), weights)
        assert same(run.state_dict(0), model.state_dict())
        model.load_state_dict(run.state_dict(12))
        assert model.head.weight is model.token.weight
        assert torch.equal(model.head.weight, weights["head.weight"])
        # The loss of the first batch, stored with step 1, is the next letter's cross-entropy at the initial weights.
        model.load_state_dict(run.state_dict(0))
        chosen = torch.randint(len(train[0]), (32,))
        chances = model(train[0][chosen]).log_softmax(-1).gather(-1, train[1][chosen][..., None])
        assert run.metrics["batch_loss"][1] == pytest.approx(-chances.mean().item(), rel=1e-5)
    becomes_an_experiment("gpt", examples, checkpoints=13)


def test_texts_that_gpt_learns_from_and_is_tested_on_do_not_overlap():
    example = importlib.import_module("examples.gpt")
    (inputs, targets), (unseen, _) = example.make_data()
    assert torch.equal(inputs[:, 1:], targets[:, :-1]), "the target is the next letter"
    begin = example.TEXT.index("".join(example.LETTERS[i] for i in unseen[0]))
    last = "".join(example.LETTERS[i] for i in [*inputs[-1], targets[-1, -1]])
    assert example.TEXT.index(last) + len(last) <= begin


def test_lightning(examples):
    pytest.importorskip("lightning")
    run, weights = examples.run("with_lightning")
    with run:
        assert list(run.steps) == [0, 10, 20, 30]
        assert list(run.epochs[1:]) == pytest.approx([1 / 3, 2 / 3, 1])
        assert same(run.state_dict(3), weights)
        assert set(run.metrics) == {"batch_loss", "test_loss", "test_accuracy"}
        # What Lightning logged after the last step is what the stored weights give.
        example = importlib.import_module("examples.with_lightning")
        model, (_, (inputs, targets)) = example.make_model().eval(), example.make_data()
        model.load_state_dict(run.state_dict(3))
        found = torch.nn.functional.cross_entropy(model(inputs), targets)
        assert run.metrics["test_loss"][3] == pytest.approx(found.item(), rel=1e-4)
    becomes_an_experiment("with_lightning", examples, checkpoints=4)


def test_huggingface(examples):
    pytest.importorskip("transformers")
    run, weights = examples.run("with_huggingface")
    with run:
        assert list(run.steps) == [0, 10, 20, 30]
        assert list(run.epochs[1:]) == pytest.approx([1 / 3, 2 / 3, 1])
        assert same(run.state_dict(3), weights)
        assert {"loss", "learning_rate", "eval_loss", "eval_accuracy"} <= set(run.metrics)
        example = importlib.import_module("examples.with_huggingface")
        model, (_, (inputs, targets)) = example.make_model().eval(), example.make_data()
        model.load_state_dict(run.state_dict(3))
        found = torch.nn.functional.cross_entropy(model(inputs), targets)
        assert run.metrics["eval_loss"][3] == pytest.approx(found.item(), rel=1e-4)
    becomes_an_experiment("with_huggingface", examples, checkpoints=4)


# What a page shows of an experiment with one run: the title of its main chart, or what it says to do.
SHOWN = {
    "home": "<b>Loss surface",
    "compare": "<b>Loss surface",
    "sharpness": "<b>SAL of every block",
    "distance": "alone, so there is no UD",
    "benchmark": "There is no benchmark yet",
    "cross_task": "take an experiment whose networks learn several",
    "poison_lab": "<b>Map of the perturbations",
    "live": "<b>Loss surface",
    "add_run": "Nothing is chosen yet",
    "lessons": "What does the loss do?",
}
OTHERWISE = {
    "two": {"distance": "<b>UD = "},
    "unknown": dict.fromkeys(("home", "sharpness", "distance"), "the code that its runs name: trust ")
    | {"compare": "<b>Paths without a surface"},
}
REQUIRED = {"with_lightning": "lightning", "with_huggingface": "transformers"}


@pytest.mark.usefixtures("navigation")
@pytest.mark.parametrize(
    "name", ["plain", "gpt", "two", "unknown", *REQUIRED, pytest.param("resnet18", marks=pytest.mark.slow)]
)
def test_every_page_shows_it_or_says_what_to_do(name, examples):
    pytest.importorskip(REQUIRED.get(name, "torch"))
    place, _ = examples.experiment(name)
    before = {path: path.stat().st_mtime_ns for path in place.rglob("*")}
    app = None
    for page in PAGES:
        app = visit(page, app=app, exp=name)
        assert not app.error, (page, [error.value for error in app.error])
        assert app.session_state["exp"] == name
        titles = [chart["layout"].get("title", {}).get("text", "") for chart in charts(app)]
        said = [one.value for kind in (app.info, app.caption) for one in kind] + [one.label for one in app.radio]
        expected = OTHERWISE.get(name, {}).get(page, SHOWN[page])
        assert any(expected in text for text in (titles if expected.startswith("<b>") else said)), (page, titles, said)
        if page == "distance" and "<b>" not in expected and name != "unknown":
            assert any(f"import {name}-and-other" in code.value and "OTHER.h5" in code.value for code in app.code)
    assert {path: path.stat().st_mtime_ns for path in place.rglob("*")} == before, "looking writes nothing"
