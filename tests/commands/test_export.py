"""``export`` and ``report`` from the terminal: lengths, fonts, refusals, and files that repeat."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner, Result
from safetensors.torch import load_file

from cli import main


def call(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(autouse=True)
def _home(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(("width", "points"), [("3.3in", "237.6"), ("84mm", "238.32"), ("500", "360")])
def test_a_paper_figure_has_the_width_and_font_that_were_asked_for(width, points):
    for name in ("a.svg", "b.svg"):
        given = ["--width", width, "--font", "DejaVu Serif", "--font-size", 7, "--no-title", "--out", name]
        result = call("export", "toy-ops", "--figure", "compare", "--format", "svg", *given)
        assert result.exit_code == 0, result.output
    drawn = Path("a.svg").read_text()
    assert f'width="{points}pt"' in drawn
    assert "DejaVu Serif" in drawn
    assert ">PC 1 (88 %)<" in drawn
    assert "Loss contours" not in drawn
    assert Path("b.svg").read_text() == drawn


def test_text_stays_text_in_pdf_and_no_date_is_in_it():
    assert call("export", "toy-ops", "--figure", "ud", "--format", "pdf", "--width", "84mm").exit_code == 0
    data = Path("toy-ops-ud.pdf").read_bytes()
    assert b"/CreationDate" not in data
    assert b"/Subtype /Type3" not in data


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--figure", "ud", "--format", "pdf", "--font", "Dejavu Seriff"], "is not installed here; try DejaVu Serif"),
        (["--figure", "ud", "--width", "3 inches"], "is no length such as 3.3in"),
        (["--figure", "ud", "--format", "png", "--width", "1in"], "cannot be drawn"),
        (["--figure", "ud", "--format", "png", "--font-size", "1"], "cannot be read"),
        (["--figure", "ud", "--format", "gif"], "only --figure animation"),
        (["--figure", "animation", "--format", "svg"], "gif, html, csv"),
        ([], "Say what to draw with --figure"),
        (["--figure", "sal", "--format", "stl"], "leave out --figure sal"),
        (["--weights-at", "1"], "is no point such as 0.5,-1.2"),
        (["--weights-at", "nan,0"], "two finite numbers"),
        (["--weights-at", "0,0", "--format", "stl"], "without --figure or --format"),
        (["--format", "vtp", "--plane", "three-point"], "no such surface yet"),
    ],
)
def test_refusals_are_one_sentence(arguments, words):
    result = call("export", "toy-ops", *arguments)
    assert result.exit_code not in (0, 130)
    assert "Traceback" not in result.output
    assert words in " ".join(result.output.split())
    assert list(Path().iterdir()) == []


def test_a_report_goes_into_a_folder_and_is_refused_before_it_is_made_where_there_is_none(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.setattr("experiments.report.report_html", lambda experiment: f"<html>{experiment.name}</html>")
    assert call("report", "digits-random", "--out", str(tmp_path / "here")).exit_code == 0
    assert (tmp_path / "here" / "digits-random-report.html").read_text() == "<html>digits-random</html>"

    monkeypatch.setattr("experiments.report.report_html", lambda experiment: pytest.fail("made although refused"))
    refused = call("report", "digits-random", "--out", str(tmp_path / "nowhere" / "r.html"))
    assert refused.exit_code == 1
    assert f"There is no folder {tmp_path / 'nowhere'} to write to; make it, or give another --out." in refused.output


def test_a_report_and_a_film_are_files():
    assert call("report", "digits-random", "--out", "r.html").exit_code == 0
    assert Path("r.html").read_text().startswith("<!doctype html>")
    made = call("export", "digits-random", "--figure", "animation", "--format", "gif")
    assert made.output.strip() == "digits-random-animation.gif"
    assert Path("digits-random-animation.gif").read_bytes().startswith(b"GIF89a")


def test_surfaces_and_weights_are_files_that_repeat():
    starts = {"vtp": b"<?xml", "stl": b"Unlearnscape", "npz": b"PK"}
    for kind, start in starts.items():
        assert call("export", "toy-ops", "--format", kind).output.strip() == f"toy-ops.{kind}"
        first = Path(f"toy-ops.{kind}").read_bytes()
        assert first.startswith(start)
        call("export", "toy-ops", "--format", kind)
        assert Path(f"toy-ops.{kind}").read_bytes() == first
    assert call("export", "toy-ops", "--format", "li").output.strip() == "toy-ops-li"
    names = {"directions.h5", "surface.h5", "clean-s0_proj_cos.h5", "ops-s0_proj_cos.h5", "origin.safetensors"}
    assert {path.name for path in Path("toy-ops-li").iterdir()} == names
    assert call("export", "toy-ops", "--weights-at", "-0.5,1e-3", "--out", "w.safetensors").exit_code == 0
    (weight,) = load_file("w.safetensors").values()
    assert weight.shape == (10, 12)


def test_parquet_holds_the_numbers_of_the_csv():
    for figure in ("compare", "sal"):
        for kind in ("csv", "parquet"):
            assert call("export", "toy-ops", "--figure", figure, "--format", kind).exit_code == 0
        text, table = pd.read_csv(f"toy-ops-{figure}.csv"), pd.read_parquet(f"toy-ops-{figure}.parquet")
        assert list(table.columns) == list(text.columns)
        assert table["trace"].tolist() == text["trace"].tolist()
        np.testing.assert_array_equal(table["x"].to_numpy(float), text["x"].to_numpy(float))
        assert table["y"].dtype == np.float64


def test_the_threshold_is_in_the_numbers():
    assert call("export", "toy-ops", "--figure", "sal", "--format", "csv").exit_code == 0
    rows = Path("toy-ops-sal.csv").read_text().splitlines()
    assert any(row.startswith("x,reference line,0.00036") for row in rows)
