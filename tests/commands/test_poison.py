"""``unlearnscape poison``, as a person meets it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cli import main
from training import load_dataset

ROOT = Path(__file__).parents[2]


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def works(*arguments: object) -> str:
    result = call("poison", *arguments)
    assert result.exit_code == 0, result.output
    return result.stdout


def refusal(*arguments: object) -> str:
    result = call("poison", *arguments)
    assert result.exit_code not in (0, 130), result.output
    assert "Traceback" not in result.output
    return result.output


@pytest.fixture(autouse=True)
def _place(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, size=(80, 3, 8, 8), dtype=np.uint8)
    np.savez(tmp_path / "my.npz", x_train=x[:60], y_train=np.arange(60) % 3, x_test=x[60:], y_test=np.arange(20) % 3)


def test_make_then_inspect():
    assert "L∞ ≤ 10/255" in works(
        "make", "class-random", "--data", "my.npz", "--strength", "10/255", "--set", "cell=2", "--out", "d.npz"
    )
    text = works("inspect", "d.npz", "--data", "my.npz", "--linf", "10/255")
    for words in ("60 entries of [3, 8, 8]", "class-wise but for clipping", "L∞ 10/255", "100.0% held out"):
        assert words in text
    figures = json.loads(works("inspect", "d.npz", "--data", "my.npz", "--json"))
    assert figures["levels"] == 10
    assert figures["violations"] == []
    assert [row["samples"] for row in figures["classes"]] == [20, 20, 20]
    assert figures["class_share"] > 0.9


def test_every_format_there_and_back():
    works("make", "uniform-noise", "--data", "my.npz", "--seed", 3, "--out", "d.npz")
    expected = np.load("d.npz")["delta"]
    names = {"png": "folder", "pt": "p.pt", "pkl": "p.pkl", "npy": "p.npy", "npy-pair": "x_p.npy", "tuple": "t.p1"}
    for kind, name in (names | {"npz": "whole.npz", "npz-delta": "again.npz"}).items():
        assert f"60 samples of my as {kind}" in works(
            "export", "d.npz", "--data", "my.npz", "--to", kind, "--out", name
        )
        assert "L∞ 8/255" in works("import", name, "--data", "my.npz", "--linf", "8/255", "--out", f"{kind}-back.npz")
        assert np.array_equal(np.load(f"{kind}-back.npz")["delta"], expected)
    assert load_dataset("whole.npz").x_train.shape == (60, 3, 8, 8)


def test_an_arm_of_an_experiment_takes_the_imported_file(tmp_path):
    works("make", "ops", "--data", "toy", "--format", "npz", "--out", "toy.npz")
    sets = ["training.epochs=1", "arms.ops.method=file", "arms.ops.path=toy.npz"]
    plain = call("train", "toy-ops", "--out", "a", "--set", sets[0])
    assert plain.exit_code == 0, plain.output
    result = call("train", "toy-ops", "--out", "b", *(part for each in sets for part in ("--set", each)))
    assert result.exit_code == 0, result.output
    from checkpoints import open_run

    one, two = (open_run(tmp_path / e / "runs" / "ops-s0.h5") for e in "ab")
    assert np.array_equal(one.vector(len(one) - 1), two.vector(len(two) - 1))


def test_shuffled_images_find_their_order():
    works("make", "uniform-noise", "--data", "my.npz", "--format", "npy-pair", "--out", "x_train.npy")
    works("make", "uniform-noise", "--data", "my.npz", "--out", "d.npz")
    order = np.random.default_rng(0).permutation(60)
    for name in ("x_train.npy", "y_train.npy"):
        np.save(name, np.load(name)[order])
    assert "another order" in refusal("import", "x_train.npy", "--data", "my.npz", "--out", "a.npz")
    assert not Path("a.npz").exists()
    works("import", "x_train.npy", "--data", "my.npz", "--reorder", "--out", "a.npz")
    assert np.array_equal(np.load("a.npz")["delta"], np.load("d.npz")["delta"])


def test_a_larger_artefact_by_an_index():
    noise = np.random.default_rng(0).integers(-8, 9, size=(100, 3, 8, 8)).astype(np.int8)
    np.save("all.npy", noise)
    np.save("where.npy", np.arange(40, 100))
    assert "give an index" in refusal("inspect", "all.npy", "--data", "my.npz")
    works("import", "all.npy", "--data", "my.npz", "--index", "where.npy", "--out", "some.npz")
    found = np.load("some.npz")
    assert np.array_equal(found["index"], np.arange(40, 100))
    assert (np.abs(found["delta"]) <= np.abs(noise[40:])).all()


def test_inspect_names_everything_that_is_wrong():
    works("make", "uniform-noise", "--data", "my.npz", "--format", "png", "--out", "p")
    Path("p/data/3.png").rename("p/data/x.tmp")
    Path("p/data/4.png").rename("p/data/3.png")
    Path("p/data/x.tmp").rename("p/data/4.png")
    result = call("poison", "inspect", "p", "--data", "my.npz", "--linf", "7/255")
    assert result.exit_code == 1
    assert "wrong: Image 3 is closer to the clean image" in result.output
    assert "above the promised 7/255" in result.output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["make", "opps", "--data", "my.npz", "--out", "a.npz"], "did you mean ops"),
        (["make", "ops", "--data", "none.npz", "--out", "a.npz"], "no data file"),
        (["make", "ops", "--data", "my.npz", "--set", "cell", "--out", "a.npz"], "key=value"),
        (["make", "ops", "--data", "my.npz", "--set", "cell=3", "--out", "a.npz"], "no option 'cell'"),
        (["make", "ops", "--data", "my.npz", "--strength", "eight", "--out", "a.npz"], "8/255"),
        (["make", "ops", "--data", "my.npz", "--strength", "-1", "--out", "a.npz"], "not above 0"),
        (["make", "ops", "--data", "my.npz", "--format", "pkl", "--out", "a.pkl"], "does not fit int8"),
        (["make", "ops", "--data", "my.npz", "--format", "gif", "--out", "a"], "gif"),
        (["inspect", "nowhere", "--data", "my.npz"], "no file or folder"),
        (["inspect", "my.npz", "--data", "digits"], "samples of shape"),
        (["import", "my.npz", "--data", "my.npz", "--out", "a.npy"], "must end with .npz"),
        (["import", "my.npz", "--data", "my.npz", "--positive-only", "--out", "a.npz"], "final images"),
        (["make", "ops", "--data", "my.npz", "--format", "npz", "--out", "my.npz/a.npz"], "my.npz"),
    ],
)
def test_wrong_input_is_one_sentence_and_leaves_no_file(arguments, words):
    assert words in refusal(*arguments)
    assert [p.name for p in Path().iterdir()] == ["my.npz"]


def test_help_has_an_example_and_needs_no_torch():
    assert "npz-delta" in call("poison", "--help").output
    for command in ("make", "inspect", "import", "export"):
        assert f"Example: unlearnscape poison {command}" in call("poison", command, "--help").output
    code = "import sys, cli; sys.exit('torch' in sys.modules or 'sklearn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_formats_offered_are_those_that_can_be_read():
    from commands import poison
    from training.artefacts import FORMATS

    assert set(poison.FORMATS) == {"auto", *FORMATS}
