"""Two surfaces that would read the same are told apart: in ``show``, in its JSON, and where a page lets one choose."""

import json
import os
import re

import numpy as np
import pytest
from click.testing import CliRunner

from checkpoints import Recorder, read_result
from cli import main
from experiments import find_experiment, materials
from experiments.surface_names import tell_apart
from landscape.style import format_loss
from tests.pages.conftest import navigation  # noqa: F401  # a fixture
from tests.pages.test_pages import ROOT, charts, visit
from training import load_dataset
from training.models import build_model


def call(*arguments):
    done = CliRunner().invoke(main, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output
    return done.output


def write_data(place, seed):
    rng = np.random.default_rng(seed)
    x, y = rng.random((40, 4), np.float32), np.arange(40) % 2
    np.savez(place, x_train=x, y_train=y, x_test=x[:8], y_test=y[:8])
    materials._load.cache_clear()  # as in a new process


@pytest.fixture
def twice(tmp_path, monkeypatch):
    """One run, and two surfaces of it: before and after its data changed, the second made a day later."""
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path))
    monkeypatch.chdir(ROOT)
    data = tmp_path / "data.npz"
    write_data(data, 0)
    model = build_model("linear", load_dataset(str(data)).input_shape, 2, seed=0)
    with Recorder(tmp_path / "run.h5", model) as recorder:
        for step in range(3):
            recorder.record(step)
            for parameter in model.parameters():
                parameter.data += 0.1 * (step + 1)
    call("import", "mine", tmp_path / "run.h5", "--model", "linear", "--data", data)
    call("surface", "mine", "--grid", 3)
    (first,) = find_experiment("mine").result_files("surfaces")
    os.utime(first, (first.stat().st_mtime - 86400,) * 2)
    alone = call("show", "mine")
    write_data(data, 1)
    call("surface", "mine", "--grid", 3)
    _, second = find_experiment("mine").result_files("surfaces")
    return first, second, alone


def test_show_and_json_tell_the_surface_of_changed_data_apart(twice):
    first, second, alone = twice
    assert "made 20" not in alone, "nothing to tell apart yet"
    shown = {line.split(":")[0].strip(): line for line in call("show", "mine").splitlines() if "plane of" in line}
    ends = {file.name: re.search(r"; (data [0-9a-f]{8}), made (\d{4}-\d\d-\d\d \d\d:\d\d)$", shown[file.name])
            for file in (first, second)}  # fmt: skip
    assert all(ends.values()), shown
    assert ends[first.name][1] != ends[second.name][1]
    assert ends[first.name][2] < ends[second.name][2]
    told = {one["file"]: one for one in json.loads(call("show", "mine", "--json"))["surfaces"]}
    for file in (first, second):
        fingerprint = read_result(file, kind="surface").header["data_fingerprint"]
        assert told[file.name]["data_fingerprint"] == fingerprint
        assert fingerprint.startswith(ends[file.name][1].removeprefix("data "))
        assert told[file.name]["made"][:10] == ends[file.name][2][:10]


@pytest.mark.usefixtures("navigation")
def test_the_page_shows_the_newest_and_lets_one_choose(twice):
    first, second, _ = twice
    app = visit("compare", exp="mine", view="Contour")
    newest, oldest = app.selectbox(key="which").options
    assert newest.startswith("3 × 3, 40 samples · data ")
    assert newest != oldest
    lowest = set()
    for label, file in ((newest, second), (oldest, first)):
        app.selectbox(key="which").set_value(label).run()
        assert not app.error
        loss = read_result(file, kind="surface").arrays["loss"]
        words = next(c["layout"]["meta"]["alt"] for c in charts(app) if any(t["type"] == "contour" for t in c["data"]))
        assert format_loss(loss.min()) in words
        lowest.add(format_loss(loss.min()))
    assert len(lowest) == 2
    assert visit("compare", exp="mine", which=oldest).selectbox(key="which").value == oldest


def test_only_what_differs_is_added_and_only_where_names_are_the_same():
    facts = [
        {"data": "data a", "seed": "seed 0", "made": "made today"},
        {"data": "data b", "seed": "seed 0", "made": "made today"},
        {"data": "data c", "seed": "seed 1", "made": "made today"},
    ]
    assert tell_apart(["one", "one", "two"], facts) == ["data a, made today", "data b, made today", ""]
