"""The benchmark page without a browser: nothing yet, partial results, filters, links, trust, and wrong input."""

import json
import shutil
from types import SimpleNamespace

import pytest

from experiments import Where, jobs
from experiments.bench_run import Bench, run_bench
from experiments.bench_table import bench_lines, bench_rows
from tests.experiments.test_bench import SPEC
from tests.pages.test_pages import ROOT, charts, metrics, visit

pytestmark = pytest.mark.usefixtures("navigation")
PART = "small-toy-linear"


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    (folder / "small.toml").write_text(SPEC)
    bench = Bench.create(folder / "small.toml", folder / "small")
    run_bench(bench, where=Where(jobs=1))
    return bench


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(ROOT)
    return tmp_path / "home"


@pytest.fixture
def bench(home, finished):
    return Bench(shutil.copytree(finished.path, home / "small"))


def begun(started, arguments, *, experiment):
    """What takes the place of :func:`experiments.jobs.start`: notes the job, and begins none."""
    started.append((arguments, experiment))
    return SimpleNamespace(id="noted")


def test_without_a_benchmark_the_page_says_what_one_is_and_starts_one(home, monkeypatch):
    started = []
    monkeypatch.setattr(jobs, "start", lambda *given, **named: begun(started, *given, **named))
    app = visit("benchmark")
    assert any("There is no benchmark yet" in info.value for info in app.info)
    assert "python cli.py bench toy" in [code.value for code in app.code]
    assert not home.exists(), "looking starts nothing"
    app.button(key="start-toy").click().run()
    assert not app.exception
    assert started == [(["bench", "toy", "--out", str(home / "toy-bench")], "toy-bench")]
    assert (home / "toy-bench" / "bench.toml").is_file()
    assert any("The first results come" in info.value for info in app.info)


def test_the_page_shows_what_the_table_holds(bench):
    app = visit("benchmark")
    lines = {line.method: line for line in bench_lines(bench_rows(bench))}
    table = app.dataframe[0].value.set_index("method")
    assert list(table.index[:1]) == ["clean"]
    assert set(table.index) == set(lines)
    for method in ("ops", "noise"):
        assert table.loc[method, "UD"] == pytest.approx(lines[method].ud.mean)
        assert table.loc[method, "± UD"] == pytest.approx(lines[method].ud.std)
        assert table.loc[method, "test (%)"] == pytest.approx(100 * lines[method].accuracy.mean)
        assert table.loc[method, "what UD says"] == lines[method].verdict
    shown = metrics(app)
    assert shown["Told from clean by UD"].endswith("of 2")
    assert " to " in shown["Clean against clean"]
    assert "Spearman, UD with accuracy" in shown
    assert any("same clean data" in markdown.value for markdown in app.markdown)
    assert len(charts(app)) == 2
    assert "bench small --table" in " ".join(code.value for code in app.code)


def test_filters_are_in_the_address(bench):
    app = visit("benchmark", bench="small", controls="false")
    assert set(app.dataframe[0].value["method"]) == {"clean", "ops"}
    names = [trace.get("name") for trace in charts(app)[0]["data"]]
    assert "controls" not in names
    app = visit("benchmark", bench="gone", part="../..", by="x", methods="y", row="z")
    assert not app.error
    assert len(app.dataframe[0].value) == 3


def test_partial_results_are_shown_with_an_offer_to_go_on(bench, monkeypatch):
    for path in bench.path.glob("cells/*-s1.json"):
        path.unlink()
    started = []
    monkeypatch.setattr(jobs, "start", lambda *given, **named: begun(started, *given, **named))
    app = visit("benchmark")
    assert any("3 of 6 runs are finished" in markdown.value for markdown in app.markdown)
    app.button(key="continue").click().run()
    assert started == [(["bench", str(bench.path)], "small")]


def test_rows_lead_to_the_runs_behind_them(bench):
    app = visit("benchmark", row="noise")
    links = {link.proto.label: link.proto for link in app.get("page_link")}
    query = links["Compare paths"].query_string
    assert f"exp={PART}" in query
    assert "runs=clean-s0" in query
    assert "runs=noise-s0" in query
    app = visit("compare", exp=PART)
    assert not app.error


def test_trust_is_computed_when_opened(bench):
    assert len(charts(visit("benchmark"))) == 2
    app = visit("benchmark", trust="true")
    words = " ".join(markdown.value for markdown in app.markdown)
    assert "Threshold rule" in words
    assert "two groups" in words
    assert len(charts(app)) == 5


def test_a_damaged_benchmark_is_a_sentence(bench):
    (bench.path / "bench.toml").write_text("name = [")
    app = visit("benchmark")
    assert any("not valid TOML" in error.value for error in app.error)
    (bench.path / "bench.toml").write_text(json.dumps("x"))
    assert visit("benchmark").error
