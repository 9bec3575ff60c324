"""Looking at stored results loads neither PyTorch nor scikit-learn, which take seconds to load."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
HEAVY = ("torch", "torchvision", "sklearn")
RUN = f"""
import sys
from cli import main
try:
    main(sys.argv[1:], standalone_mode=False)
except SystemExit as ended:
    assert not ended.code
print("loaded:", *sorted(set({HEAVY!r}) & set(sys.modules)))
"""


def loaded(folder: Path, *arguments: str, before: str = "") -> str:
    """Which of ``HEAVY`` a command has loaded by its end; ``before``: lines that run first."""
    environment = {"PYTHONPATH": str(ROOT), "UNLEARNSCAPE_HOME": str(folder / "home"), "MPLCONFIGDIR": str(folder)}
    command = [sys.executable, "-c", before + RUN, *arguments]
    done = subprocess.run(command, check=False, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.rpartition("loaded:")[2].strip()


@pytest.mark.parametrize(
    "arguments",
    [
        ("show", "toy-ops"),
        ("show", "digits-random", "--json"),
        ("report", "toy-ops"),
        ("report", "digits-random"),
        ("export", "toy-ops", "--figure", "compare", "--format", "svg"),
        ("export", "toy-ops", "--figure", "compare-3d"),
        ("export", "toy-ops", "--figure", "ud", "--format", "csv"),
        ("export", "toy-ops", "--figure", "animation", "--format", "html"),
        ("export", "toy-ops", "--format", "vtp"),
        ("--help",),
    ],
    ids=" ".join,
)
def test_looking_at_the_demo_needs_neither_pytorch_nor_scikit_learn(tmp_path, arguments):
    assert loaded(tmp_path, *arguments) == ""


def test_what_computes_loads_them(tmp_path):
    assert "torch" in loaded(tmp_path, "export", "toy-ops", "--weights-at", "0.5,-1.2")


def test_the_app_has_loaded_what_computes_before_anybody_waits(tmp_path):
    serve = (
        "import signal, streamlit.web.cli as web; web.main = lambda *_, **__: None; signal.signal = lambda *_: None\n"
    )
    assert loaded(tmp_path, "app", "--port", "8599", before=serve) == "sklearn torch"


def test_pages_that_are_served_otherwise_load_what_computes_first(tmp_path):
    assert "torch" in loaded(tmp_path, "--version", before="import pages\n")
