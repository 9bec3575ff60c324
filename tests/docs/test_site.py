"""The site of the documentation builds without a warning, holds every public name, and needs no network."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROOMS = ("checkpoints", "landscape", "training", "analysis", "experiments")
PROMISED = {  # names that scripts of others call; they are never renamed
    "checkpoints": "Recorder Recorder.record open_run Run Run.vector Run.state_dict",
    "landscape": "filter_normalize random_plane pca_plane three_point_plane Plane.project evaluate_surface Surface",
    "analysis": "sharpness_aware_learnability BlockSal learnable_threshold unlearnable_distance UnlearnableDistance",
}
ENTRY = re.compile(r"^\.\. (?:auto\w+|data):: (\w+)$", re.MULTILINE)
LOADED = re.compile(r"<(?:script|img|link|iframe|source)\b[^>]*?\b(?:src|href)=\"((?:https?:)?//[^\"]*)", re.IGNORECASE)


@pytest.mark.parametrize("room", ROOMS)
def test_the_reference_holds_every_exported_name_once(room):
    entries = ENTRY.findall((ROOT / "docs" / "reference" / f"{room}.md").read_text())
    assert sorted(entries) == sorted(importlib.import_module(room).__all__)


@pytest.mark.parametrize("room", ROOMS)
def test_what_is_exported_has_a_docstring(room):
    package = importlib.import_module(room)
    things = [getattr(package, name) for name in package.__all__]
    silent = [
        thing.__name__ for thing in things if inspect.isroutine(thing) or inspect.isclass(thing) if not thing.__doc__
    ]
    assert not silent


@pytest.mark.parametrize(("room", "names"), PROMISED.items())
def test_promised_names_are_there_and_described(room, names):
    for name in names.split():
        thing = importlib.import_module(room)
        for part in name.split("."):
            thing = getattr(thing, part)
        assert name.split(".")[0] in importlib.import_module(room).__all__
        # A dataclass without a docstring gets its own signature as one.
        assert inspect.getdoc(thing)
        assert not thing.__doc__.startswith(f"{name}(")


@pytest.mark.skipif(
    not all(importlib.util.find_spec(name) for name in ("sphinx", "myst_parser", "furo")),
    reason="Sphinx, MyST or Furo is missing: pip install -r requirements-docs.txt",
)
def test_the_site_builds_strictly_and_loads_nothing_from_elsewhere(tmp_path):
    site = tmp_path / "site"
    arguments = ["-W", "--keep-going", "-q", "-b", "html", "-d", str(tmp_path / "doctrees"), "docs", str(site)]
    command = [sys.executable, "-m", "sphinx", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    pages = sorted(site.rglob("*.html"))
    assert {"index.html", "search.html", "user-guide.html", "landscape.html"} <= {page.name for page in pages}
    for page in pages:
        assert not LOADED.findall(page.read_text()), page.name
    assert (site / "searchindex.js").stat().st_size > 10_000
    surface = (site / "reference" / "landscape.html").read_text()
    assert 'id="landscape.evaluate_surface"' in surface
    assert 'href="#landscape.Plane"' in surface  # what a signature names is linked
