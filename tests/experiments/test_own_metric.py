"""A metric of the user's own: named at the terminal, measured beside the loss, shown by its name."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from joblib.externals.loky import get_reusable_executor
from streamlit.testing.v1 import AppTest
from torch import nn

from checkpoints import Recorder, read_result
from experiments import Experiment, ExperimentError, Where, compute_surface
from experiments.materials import dataset_of, network_for_run, sample
from experiments.pictures import find_surfaces, surface_picture
from experiments.preview import preview_surface
from experiments.probe import probe_point
from experiments.spec import ArmSpec, ExperimentSpec, SpecError, SurfaceSpec
from experiments.surface_plan import prepare_surface
from experiments.surface_work import Points, _worker, describe_work, measure_elsewhere
from experiments.trust import trust_file
from landscape.figures import contour_2d, surface_3d
from tests.experiments.own_metric import CODE, NAMED, call, imported, prepared

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    return prepared(tmp_path, monkeypatch)


def test_surface_path_and_point_hold_the_metric_of_the_very_weights():
    mine = imported()
    assert call("surface", "mine", "--grid", "5").exit_code == 0
    (stored,) = find_surfaces(mine)
    run, dataset = mine.open_run("rec-s0"), dataset_of(mine.spec)
    network = network_for_run(mine.spec, dataset, run, "rec-s0")
    x, y = torch.from_numpy(dataset.x_train), torch.from_numpy(dataset.y_train)
    for i in range(4):
        network.load_state_dict(run.state_dict(i))
        with torch.no_grad():
            scores = network.eval()(x)
        wanted = float((scores[torch.arange(40), y] - scores[torch.arange(40), 1 - y]).mean())
        assert stored.arrays["path/rec-s0/true_metric"][i] == pytest.approx(wanted, rel=1e-5)
        loss = float(nn.functional.cross_entropy(scores, y))
        assert stored.arrays["path/rec-s0/true_loss"][i] == pytest.approx(loss, rel=1e-5), "not of spoilt outputs"
    assert stored.header["metric_name"] == "metrics_of_mine:margin"
    assert stored.arrays["metric"].shape == (5, 5)
    a, b = (float(stored.arrays[axis][3]) for axis in ("alphas", "betas"))
    first = probe_point(mine, stored, a, b).losses[0]
    assert first.metric_name == "margin"
    assert first.metric == pytest.approx(stored.arrays["metric"][3, 3], rel=1e-5)
    assert "(40 samples), with metrics_of_mine:margin" in call("show", "mine").output
    assert json.loads(call("show", "mine", "--json").output)["surfaces"][0]["metric"] == "metrics_of_mine:margin"
    early = preview_surface(mine, mine.spec.surface, ["rec-s0"])
    assert early.arrays["metric"].max() > early.arrays["metric"].min()


def test_a_metric_makes_another_surface_and_the_same_sharpness(here):
    assert call("import", "mine", "rec.h5", *NAMED).exit_code == 0
    plain = sample(Experiment.open("mine"), "clean").key()
    assert call("surface", "mine", "--grid", "3").exit_code == 0
    mine = imported("share")  # again, with a metric
    assert mine.spec.metric == "metrics_of_mine:share"
    assert sample(mine, "clean").key() == plain
    assert call("surface", "mine", "--grid", "3").exit_code == 0
    without, with_metric = sorted(find_surfaces(mine), key=lambda stored: "metric" in stored.arrays)
    assert "metric_name" not in without.header
    np.testing.assert_array_equal(with_metric.arrays["loss"], without.arrays["loss"])
    np.testing.assert_allclose(with_metric.arrays["metric"], with_metric.arrays["accuracy"], rtol=1e-6)


def test_a_metric_runs_only_with_every_name_granted():
    assert call("import", "mine", "rec.h5", *NAMED).exit_code == 0
    done = call("import", "mine", "rec.h5", "--metric", "metrics_of_mine:margin")
    assert done.exit_code == 1, "the network and data that it knows are not named"
    assert "differs in" in done.output
    text = Path("mine/experiment.toml").read_text()
    assert "metrics_of_mine:margin" not in text, "nothing half written"
    Path("mine/experiment.toml").write_text('metric = "metrics_of_mine:margin"\n' + text)
    assert "not run before you grant it" in call("surface", "mine").output
    names = ("metrics_of_mine:net", "metrics_of_mine:data")
    assert call("trust", "mine", *names).exit_code == 1
    assert call("trust", "mine", *names, "metrics_of_mine:margin").exit_code == 0
    assert call("surface", "mine", "--grid", "3").exit_code == 0


def test_a_metric_that_a_run_names_is_taken_once_the_user_names_it_too():
    code: dict = {}
    exec(CODE, code)
    hints = {"model_factory": NAMED[1], "data_factory": NAMED[3], "metric": "metrics_of_mine:margin"}
    with Recorder("named.h5", code["net"](), **hints) as recorder:
        recorder.record(0)
    assert "--metric metrics_of_mine:margin" in call("import", "mine", "named.h5", "--dry-run").output
    assert call("import", "mine", "named.h5").exit_code == 0
    assert Experiment.open("mine").spec.metric is None, "nothing is taken from the file alone"
    refused = call("trust", "mine", NAMED[1], NAMED[3])
    assert refused.exit_code == 1
    assert "mine names metrics_of_mine:net, metrics_of_mine:data, metrics_of_mine:margin" in refused.output
    assert not trust_file().exists()
    assert "metrics_of_mine" not in sys.modules, "nothing was run"
    assert call("trust", "mine", *hints.values()).exit_code == 0
    assert Experiment.open("mine").spec.metric == "metrics_of_mine:margin"
    assert call("surface", "mine", "--plane", "random", "--grid", "3").exit_code == 0
    assert find_surfaces(Experiment.open("mine"))[0].header["metric_name"] == "metrics_of_mine:margin"


WRONG = {
    "raises": "The metric metrics_of_mine:raises failed: RuntimeError: no threshold",
    "each": "The metric metrics_of_mine:each returned a tensor of shape [2]; it must return the mean over the batch",
    "absent": "The module metrics_of_mine has no absent, which is named as metric",
}


@pytest.mark.parametrize("metric", WRONG)
def test_mistakes_are_one_sentence_and_leave_nothing(metric):
    result = call("import", "mine", "rec.h5", *NAMED, "--metric", f"metrics_of_mine:{metric}")
    assert result.exit_code == 1
    assert WRONG[metric] in result.output
    assert "\n" not in result.output.strip()
    assert not Path("mine").exists()
    assert not trust_file().exists()


def test_what_is_no_metric_is_refused():
    assert (
        "metric is 'accuracy'; it must be a package.module:function"
        in call("import", "mine", "rec.h5", "--metric", "accuracy").output
    )
    with pytest.raises(SpecError, match="metric is 3"):
        ExperimentSpec("t", arms={"clean": ArmSpec()}, metric=3)  # type: ignore[arg-type]


def test_figures_and_the_page_call_it_by_its_name(monkeypatch):
    mine = imported()
    assert call("surface", "mine", "--grid", "5").exit_code == 0
    (stored,) = find_surfaces(mine)
    picture = surface_picture(mine, stored)
    for build in (surface_3d, contour_2d):
        figure = build([picture.surface], [picture.paths], quantity="metric")
        assert figure.layout.title.text.startswith("margin ") or "margin" in figure.layout.title.text
        hover = " ".join(str(trace.hovertemplate) for trace in figure.data)
        assert "margin %{customdata:.3g}" in hover
        assert "true margin %{customdata[4]:.3g}<br>in-plane margin %{customdata[5]:.3g}<br>off the plane" in hover
        assert figure.data[0].colorbar.title.text == "margin"
    stored.header["metric_name"] = "<img src=x>"
    assert surface_picture(mine, stored).surface.metric_name == ""
    monkeypatch.chdir(ROOT)
    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.run()
    app.switch_page("pages/compare.py")
    app.query_params["exp"], app.query_params["height"] = "mine", "margin"
    app.run()
    assert not app.exception
    height = next(group for group in app.get("button_group") if group.key == "height")
    assert height.options == ["loss", "accuracy", "margin"]
    drawn = [one for view in app.get("bidi_component") for one in json.loads(view.proto.json)["figures"]]
    assert "margin surface" in drawn[0]["figure"]


def test_surface_takes_a_metric_for_the_experiment_and_keeps_it():
    assert call("import", "mine", "rec.h5", *NAMED).exit_code == 0
    assert call("surface", "mine", "--grid", "2").exit_code == 0
    for name, said in ((name, WRONG[name]) for name in WRONG):
        assert said in call("surface", "mine", "--grid", "2", "--metric", f"metrics_of_mine:{name}").output
    assert "must be a package.module:function" in call("surface", "mine", "--metric", "f1").output
    assert Experiment.open("mine").spec.metric is None
    done = call("surface", "mine", "--grid", "2", "--metric", "metrics_of_mine:margin")
    assert done.exit_code == 0, done.output
    assert call("surface", "mine", "--grid", "3").exit_code == 0, "from now on without naming it"
    assert [s.header.get("metric_name", "")[-6:] for s in find_surfaces(Experiment.open("mine"))][:2] == ["margin"] * 2
    other = call("surface", "mine", "--metric", "metrics_of_mine:share")
    assert "mine has the metric metrics_of_mine:margin, which its surfaces hold" in other.output
    trust_file().unlink()
    assert call("surface", "mine", "--grid", "2", "--plane", "random").exit_code == 1, "it is not granted any more"


def test_a_metric_that_only_the_runs_name_is_noted_with_its_command():
    code: dict = {}
    exec(CODE, code)
    with Recorder("named.h5", code["net"](), metric="metrics_of_mine:margin") as recorder:
        recorder.record(0)
    assert call("import", "mine", "named.h5", *NAMED).exit_code == 0
    assert "surface mine --metric metrics_of_mine:margin" in call("show", "mine").output.replace(f"{Path.cwd()}/", "")
    assert (
        call("surface", "mine", "--metric", "metrics_of_mine:margin", "--plane", "random", "--grid", "2").exit_code == 0
    )
    assert "nothing of it was run" not in call("show", "mine").output


def test_workers_find_the_same_numbers_and_run_it_only_where_it_is_granted(monkeypatch):
    mine = imported()
    alone = read_result(compute_surface(mine, SurfaceSpec(grid=4), where=Where(jobs=1)), kind="surface")
    way = alone.header["strategy"]
    monkeypatch.setattr("experiments.surface_step._Computation._tried_strategy", lambda self: way)
    assert call("import", "again", "rec.h5", *NAMED, "--metric", "metrics_of_mine:margin").exit_code == 0
    get_reusable_executor().shutdown(wait=True)  # processes of other tests know other grants
    again = Experiment.open("again")
    with monkeypatch.context() as patched:
        patched.setattr("landscape.refinement.GROUP_POINTS", 4)
        patched.setattr("experiments.surface_work._worker", None)  # this process does none of it
        spread = read_result(compute_surface(again, SurfaceSpec(grid=4), where=Where(jobs=2)), kind="surface")
    get_reusable_executor().shutdown(wait=True)
    assert spread.header["strategy"] == way
    for name in ("loss", "accuracy", "metric", "path/rec-s0/true_metric"):
        assert spread.arrays[name].tobytes() == alone.arrays[name].tobytes(), name
    prepared = prepare_surface(mine, SurfaceSpec(grid=4))
    grid = prepared.grid(4)
    describe_work(Path("w.h5"), prepared.request, prepared.plane, *grid, prepared.measured_on.fingerprint)
    points = Points(str(mine.path.resolve()), str(Path("w.h5").resolve()), way, tuple(range(16)))
    np.testing.assert_array_equal(measure_elsewhere(points)[:, 3].reshape(4, 4), alone.arrays["metric"])
    monkeypatch.setenv("XDG_CONFIG_HOME", str(Path("elsewhere").resolve()))  # as on another machine
    _worker.cache_clear()
    with pytest.raises(ExperimentError, match="not run before you grant it"):
        measure_elsewhere(points)


def test_a_metric_is_not_taken_where_it_cannot_be_tried():
    assert call("import", "mine", "rec.h5").exit_code == 0
    given = ("--metric", "metrics_of_mine:margin")
    refused = call("surface", "mine", *given)
    assert (
        "The metric metrics_of_mine:margin is not taken yet. The network and the data set are not known"
        in refused.output
    )
    assert Experiment.open("mine").spec.metric is None
    assert "has no run that metrics_of_mine:margin could be tried on" in call("surface", "digits-random", *given).output
    assert not trust_file().exists()
