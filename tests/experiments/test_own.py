"""Networks, data and losses of the user's own: run where they were named at the terminal, measured like any other."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result

from checkpoints import Recorder
from cli import main
from experiments import Experiment, ExperimentError, import_runs, read_sal
from experiments.materials import dataset_of, network_for_run, sample
from experiments.spec import ArmSpec, DataSpec, ExperimentSpec, Grant
from experiments.trust import trust_file

ROOT = Path(__file__).parent.parent.parent
CODE = """
import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import Dataset, TensorDataset

def points(n=40, seed=0):
    return torch.randn(n, 4, generator=torch.Generator().manual_seed(seed))

def classes():
    x = points()
    return (x, (x[:, 0] > 0).long()), TensorDataset(points(seed=1), (points(seed=1)[:, 0] > 0).long())

def line():
    return (points(), points()[:, :2].sum(1)), (points(seed=1), points(seed=1)[:, :2].sum(1))

def pixels():
    x = torch.rand(12, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    return (x, (x[:, 0] > 0.5).long()), (x[:4], (x[:4, 0] > 0.5).long())

def text():
    t = torch.randint(7, (20, 9), generator=torch.Generator().manual_seed(0))
    return (t[:, :-1], t[:, 1:]), (t[:5, :-1], t[:5, 1:])

def net(input_shape, n_classes):
    return nn.Sequential(nn.Linear(input_shape[0], 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, n_classes))

def convolution():
    return nn.Sequential(nn.Conv2d(1, 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 2, 1))

class Answer:
    def __init__(self, logits):
        self.logits = logits

class Gpt(nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.embed, self.mix = nn.Embedding(n_classes, 6), nn.Linear(6, 6)
        self.head = nn.Linear(6, n_classes, bias=False)
        self.head.weight = self.embed.weight
    def forward(self, tokens):
        return Answer(self.head(torch.relu(self.mix(self.embed(tokens)))))

def huber(outputs, targets):
    return functional.huber_loss(outputs[:, 0], targets)

not_callable = 3

def raises():
    raise RuntimeError("no GPU\\nat all")

def wants(width):
    return None

def nothing():
    return None

def labels_too_high():
    (x, y), test = classes()
    return (x, y * 5), test
"""


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path))
    monkeypatch.delenv("UNLEARNSCAPE_PROGRESS", raising=False)
    monkeypatch.chdir(tmp_path)
    Path("stranger.py").write_text(CODE)
    return tmp_path


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def record(name, factory, data, function, /, **metadata):
    """A run of a few plain steps, as a stranger's loop would record it."""
    code = {}
    exec(CODE, code)
    torch.manual_seed(0)
    (x, y), _ = code[data]()
    whole = [tensor for tensor in (x, y) if not tensor.is_floating_point()]
    classes = 1 + max((int(tensor.max()) for tensor in whole), default=0)
    shape = {"input_shape": tuple(x.shape[1:]), "n_classes": classes}
    wanted = code[factory].__init__ if isinstance(code[factory], type) else code[factory]
    model = code[factory](**{k: v for k, v in shape.items() if k in wanted.__code__.co_varnames})
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    with Recorder(name, model, metadata=metadata) as recorder:
        for step in range(3):
            out = model(x)
            value = function(getattr(out, "logits", out), y)
            recorder.record(step, train_loss=float(value.detach()))
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
    return Path(name)


def imported(data, model, loss, plain_loss, *also):
    record("rec.h5", model, data, plain_loss)
    named = ["--model", f"stranger:{model}", "--data", f"stranger:{data}", *(["--loss", loss] if loss else [])]
    result = call("import", "mine", "rec.h5", *named, *also)
    assert result.exit_code == 0, result.output
    return Experiment.open("mine")


def flat(outputs, targets):
    return torch.nn.functional.cross_entropy(outputs.flatten(0, 1), targets.flatten())


KINDS = {
    "classes": ("net", None, torch.nn.functional.cross_entropy, True),
    "line": ("net", None, lambda o, t: ((o[:, 0] - t) ** 2).mean(), False),
    "pixels": ("convolution", None, torch.nn.functional.cross_entropy, False),
    "text": ("Gpt", None, flat, False),
}


@pytest.mark.parametrize("data", KINDS)
def test_every_kind_is_measured_by_its_own_loss(data):
    model, loss, plain, accurate = KINDS[data]
    mine = imported(data, model, loss, plain)
    assert call("surface", "mine", "--grid", "3", "--samples", "0").exit_code == 0
    stored = mine.read(mine.result_files("surfaces")[0], "surface")
    assert ("accuracy" in stored.arrays) == accurate
    run, dataset = mine.open_run("rec-s0"), dataset_of(mine.spec)
    network = network_for_run(mine.spec, dataset, run, "rec-s0")
    network.load_state_dict(run.state_dict(2))
    with torch.no_grad():
        wanted = float(plain(network.eval()(torch.from_numpy(dataset.x_train)), torch.from_numpy(dataset.y_train)))
    assert stored.arrays["path/rec-s0/true_loss"][2] == pytest.approx(wanted, rel=1e-5)
    result = call("sal", "mine", "--method", "gradient")
    assert result.exit_code == 0, result.output
    series = read_sal(mine.result_files("sal")[0])
    assert series.loss[2] == pytest.approx(wanted, rel=1e-5)
    assert series.sal.max() > 0
    assert "It runs code of your own" in call("show", "mine").output


def test_a_loss_of_ones_own_and_curvature():
    mine = imported("line", "net", "stranger:huber", lambda o, t: torch.nn.functional.huber_loss(o[:, 0], t))
    key = sample(mine, "clean").key()
    assert key["loss"] == "stranger:huber"
    assert call("curvature", "mine", "--probes", "2").exit_code == 0
    other = dataclasses.replace(mine.spec, loss="l1")
    assert sample(_with_spec(mine, other), "clean").key() == key | {"loss": "l1"}


def _with_spec(experiment, spec):
    changed = Experiment(experiment.path)
    changed.__dict__["spec"] = spec
    return changed


@pytest.mark.slow
def test_a_child_elsewhere_imports_from_where_it_was_granted(here):
    imported("classes", "net", None, torch.nn.functional.cross_entropy)
    done = subprocess.run(
        [sys.executable, str(ROOT / "cli.py"), "surface", str(here / "mine"), "--grid", "3"],
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_folder_from_a_stranger_runs_nothing(here):
    mine = imported("classes", "net", None, torch.nn.functional.cross_entropy)
    Path("stranger.py").write_text("open('ran', 'w')\n" + CODE)
    sys.modules.pop("stranger", None)
    trust_file().unlink()
    for command in ("surface", "sal", "ud", "curvature", "train"):
        said = call(command, "mine").output
        assert "not run before you grant it" in said
        assert "trust mine stranger:net stranger:classes" in said
    shown = " ".join(call("show", "mine").output.split())
    assert "trust mine stranger:net stranger:classes" in shown
    assert "metrics and stored surfaces can be shown" in shown
    assert "not stranger:net; name these" in call("trust", "mine", "stranger:net").output
    assert not Path("ran").exists()
    assert call("trust", "mine", "stranger:net", "stranger:classes").exit_code == 0
    assert call("surface", "mine", "--grid", "3").exit_code == 0
    assert Path("ran").exists()
    text = (mine.path / "experiment.toml").read_text()
    (mine.path / "experiment.toml").write_text(text.replace("stranger:classes", "stranger:line"))
    assert "not run before you grant it" in call("surface", "mine").output  # another name needs another grant
    (mine.path / "experiment.toml").write_text(text + '\n[grant]\nroot = "."\n')
    assert "grant is not an entry of a specification" in call("surface", "mine").output


def test_only_the_terminal_grants(here, monkeypatch):
    record("rec.h5", "net", "classes", torch.nn.functional.cross_entropy)
    with pytest.raises(ExperimentError, match="named at the terminal alone"):
        import_runs(here / "mine", [Path("rec.h5")], model="stranger:net", data="stranger:classes")
    given = ["import", "mine", "rec.h5", "--model", "stranger:net", "--data", "stranger:classes"]
    for variable, value in (("UNLEARNSCAPE_PROGRESS", str(here / "job.json")), ("UNLEARNSCAPE_CLASSROOM", "1")):
        with monkeypatch.context() as patch:
            patch.setenv(variable, value)
            assert "named at the terminal alone" in call(*given).output
    assert not Path("mine").exists()
    assert not trust_file().exists()
    assert call(*given, "--dry-run").exit_code == 0
    assert not trust_file().exists()
    assert call(*given).exit_code == 0
    monkeypatch.setenv("UNLEARNSCAPE_CLASSROOM", "1")
    assert "not run before you grant it" in call("surface", "mine").output
    trust_file().write_text("[1, 2")
    monkeypatch.delenv("UNLEARNSCAPE_CLASSROOM")
    assert "not run before you grant it" in call("surface", "mine").output


def test_what_runs_say_of_themselves_is_shown_and_never_run():
    hints = {"model_factory": "stranger:net", "data_factory": "os:abort", "loss": "evil \x1b[2J", "metric": "mse"}
    record("rec.h5", "net", "classes", torch.nn.functional.cross_entropy, **hints)
    names = "--model stranger:net --data os:abort"
    dry = call("import", "mine", "rec.h5", "--dry-run").output
    assert f"it names {names} (nothing of it is run)\n" in dry
    done = call("import", "mine", "rec.h5")
    assert "if you know the code that its runs name: trust" in done.output
    notes = json.loads(call("show", "mine", "--json").output)["notes"]
    assert notes[0].startswith("The network and the data set are not known: paths, distances, metrics")
    offer = "if you know the code that its runs name: trust mine stranger:net os:abort"
    assert notes[1].replace(str(Path.cwd()) + "/", "").endswith(f"(nothing of it was run): {names}; {offer}")
    said = call("surface", "mine").output.replace(str(Path.cwd()) + "/", "")
    assert f"The data set of mine is not known; {offer}; or import its runs again" in said


def test_an_experiment_takes_what_its_runs_name_once_the_user_names_it():
    named = {"model_factory": "stranger:net", "data_factory": "stranger:classes", "loss": "cross-entropy"}
    record("rec.h5", "net", "classes", torch.nn.functional.cross_entropy, **named)
    record("other.h5", "net", "classes", torch.nn.functional.cross_entropy)
    assert call("import", "mine", "rec.h5", "other.h5").exit_code == 0
    before = Path("mine/experiment.toml").read_bytes()
    Path("stranger.py").write_text("open('ran', 'w')\n" + CODE)
    sys.modules.pop("stranger", None)
    for given in ((), ("stranger:net",), ("stranger:net", "stranger:line"), ("stranger:classes", "os:abort")):
        assert call("trust", "mine", *given).exit_code == 1
    assert call("surface", "mine", "--grid", "3").exit_code == 1
    assert not Path("ran").exists()
    assert Path("mine/experiment.toml").read_bytes() == before
    assert not trust_file().exists()
    done = call("trust", "mine", "stranger:net", "stranger:classes")
    assert done.exit_code == 0, done.output
    assert Path("ran").exists()
    assert Experiment.open("mine").spec.loss == "cross-entropy"
    assert call("surface", "mine", "--grid", "3").exit_code == 0
    assert "It runs code of your own" in call("show", "mine").output


def test_what_runs_name_wrongly_is_one_sentence_and_not_noted():
    named = {"model_factory": "stranger:convolution", "data_factory": "stranger:classes"}
    record("rec.h5", "net", "classes", torch.nn.functional.cross_entropy, **named)
    assert call("import", "mine", "rec.h5").exit_code == 0
    before = Path("mine/experiment.toml").read_bytes()
    said = call("trust", "mine", "stranger:convolution", "stranger:classes")
    assert said.exit_code == 1
    assert "cannot take inputs of shape [2, 4]" in said.output
    assert Path("mine/experiment.toml").read_bytes() == before
    assert not trust_file().exists()


def test_a_toml_of_ones_own_is_trained_with_leave(here):
    text = 'name = "t"\nloss = "l1"\n[data]\nname = "stranger:line"\n[model]\nname = "stranger:net"\n'
    Path("t.toml").write_text(text + "[training]\nepochs = 2\nbatch_size = 20\nlr = 0.01\n[arms.clean]\n")
    assert "add --own-code" in call("train", "t.toml").output
    assert not Path("t").exists()
    result = call("train", "t.toml", "--own-code")
    assert result.exit_code == 0, result.output
    run = Experiment.open("t").open_run("clean-s0")
    assert run.metrics["train_loss"][-1] < run.metrics["train_loss"][0]
    assert "train_accuracy" not in run.metrics
    assert call("sal", "t", "--method", "search", "--steps", "1").exit_code == 0
    Path("p.toml").write_text(Path("t.toml").read_text() + '[arms.ops]\nmethod = "ops"\n')
    assert "is for regression" in call("train", "p.toml", "--own-code").output


WRONG = {
    ("nowhere:net", "stranger:classes"): "cannot be imported from",
    ("stranger:absent", "stranger:classes"): "The module stranger has no absent",
    ("stranger:not_callable", "stranger:classes"): "is a int, not a function",
    ("stranger:raises", "stranger:classes"): "The model factory stranger:raises failed: RuntimeError: no GPU at all",
    ("stranger:wants", "stranger:classes"): "wants width; it may take input_shape and n_classes alone",
    ("stranger:nothing", "stranger:classes"): "returned a NoneType, not a torch.nn.Module",
    ("stranger:net", "stranger:raises"): "The data factory stranger:raises failed: RuntimeError: no GPU at all",
    ("stranger:net", "stranger:nothing"): "The data factory stranger:nothing returned nothing; return (train, test)",
    ("stranger:convolution", "stranger:classes"): "cannot take inputs of shape [2, 4]",
    ("stranger:convolution", "stranger:text"): "cannot take inputs of shape [2, 8] (torch.int64)",
    ("training.models:linear", "stranger:classes"): "is the name of a part of this program",
    ("stranger:net", "stranger:labels_too_high"): "the label",
    ("linear", "stranger:classes"): "holds another network than linear: it lacks",
}


@pytest.mark.parametrize("named", WRONG)
def test_mistakes_are_one_sentence_and_leave_nothing(named, here):
    record("rec.h5", "net", "classes", torch.nn.functional.cross_entropy)
    wanted = WRONG[named]
    if named[1] == "stranger:labels_too_high":
        Path("fixed.py").write_text("from stranger import *\ndef two():\n    return nn.Linear(4, 2)\n")
        named = ("fixed:two", named[1])
    result = call("import", "mine", "rec.h5", "--model", named[0], "--data", named[1])
    assert result.exit_code == 1
    assert wanted in result.output
    assert "\n" not in result.output.strip()
    assert not Path("mine").exists()
    assert not trust_file().exists()


def test_another_network_than_the_stored_one_is_told_parameter_by_parameter():
    mine = imported("classes", "net", None, torch.nn.functional.cross_entropy)
    Path("stranger.py").write_text(CODE.replace("(8, n_classes)", "(8, n_classes, bias=False)").replace("8)", "9)"))
    sys.modules.pop("stranger", None)
    run, dataset = mine.open_run("rec-s0"), dataset_of(mine.spec)
    with pytest.raises(ExperimentError, match="holds another network") as refused:
        network_for_run(mine.spec, dataset, run, "rec-s0")
    assert "it also has 3.bias" in str(refused.value)
    assert "0.weight ([8, 4], expected [9, 4])" in str(refused.value)


def test_modules_of_one_name_from_two_directories_are_kept_apart(here):
    spec = ExperimentSpec("two", data=DataSpec("same:data"), arms={"clean": ArmSpec()})
    for folder, value in (("a", 1.0), ("b", 2.0)):
        (here / folder).mkdir()
        pair = f"[[{value}], [{value}]], [0, 1]"
        (here / folder / "same.py").write_text(f"def data():\n    return ({pair}), ({pair})\n")
    for folder, value in (("a", 1.0), ("b", 2.0), ("a", 1.0)):
        granted = dataclasses.replace(spec, grant=Grant("two", str(here / folder)))
        assert dataset_of(granted).x_train[0, 0] == value
    with pytest.raises(ExperimentError, match="trust two same:data"):
        dataset_of(spec)
