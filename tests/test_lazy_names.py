"""Rooms hand out their names when they are first asked for; nothing heavy is loaded before."""

import ast
import importlib
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

import lazy_names
from analysis import SeedSummary, summarise_seeds

ROOT = Path(__file__).parent.parent
ROOMS = ("analysis", "checkpoints", "experiments", "landscape", "training")
HEAVY = ("torch", "torchvision", "sklearn", "scipy", "pandas", "plotly", "matplotlib", "h5py", "streamlit")


@pytest.mark.parametrize("room", ROOMS)
def test_every_name_of_a_room_can_be_had_and_is_listed(room):
    package = importlib.import_module(room)
    for name in package.__all__:
        found = getattr(package, name)
        if isinstance(found, type) or callable(found):
            home = importlib.import_module(found.__module__)
            assert getattr(home, found.__name__) is found
    assert set(package.__all__) <= set(dir(package))


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_exports_what_it_imports_and_nothing_else(room):
    package = importlib.import_module(room)
    homes = lazy_names._homes(Path(package.__file__).read_text())
    assert sorted(homes) == sorted(package.__all__)
    modules = {path.stem for path in Path(package.__file__).parent.iterdir()}
    assert not modules & set(homes)  # else a module that is imported would stand in place of the name


@pytest.mark.parametrize("room", ROOMS)
def test_what_a_room_lacks_is_missed_as_ever(room):
    package = importlib.import_module(room)
    with pytest.raises(AttributeError, match=f"{room}.*no_such_name"):
        _ = package.no_such_name
    with pytest.raises(ImportError, match="no_such_name"):
        exec(f"from {room} import no_such_name")
    assert not hasattr(package, "no_such_name")


def test_rooms_are_loaded_without_what_their_names_need():
    asked = f"import sys, {', '.join(ROOMS)}; print(*sorted(set({HEAVY!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", asked], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""


def test_a_package_loads_a_name_once_and_all_of_them_when_told_to(tmp_path, monkeypatch):
    folder = tmp_path / "lazy_example"
    folder.mkdir()
    (folder / "one.py").write_text("print('one')\nfirst, second = 1, 2\n")
    (folder / "two.py").write_text("print('two')\nthird = 3\n")
    source = (
        "from typing import TYPE_CHECKING\n"
        "from lazy_names import lazy_names\n"
        "if TYPE_CHECKING:\n    from lazy_example.one import first, second\n    from lazy_example.two import third\n"
        "else:\n    __getattr__, __dir__ = lazy_names(__name__)\n"
        "__all__ = ['first', 'second', 'third']\n"
    )
    ast.parse(source)
    (folder / "__init__.py").write_text(source)
    asked = (
        "import sys, lazy_names, lazy_example\nprint('before')\nfrom lazy_example import first\nprint(first)\n"
        "print('second' in vars(lazy_example), lazy_example.second, 'second' in vars(lazy_example))\n"
        "lazy_names.load('lazy_example')\nprint(lazy_example.third)\n"
    )
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{ROOT}")
    done = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["before", "one", "1", "False", "2", "True", "two", "3"]


def test_instances_of_what_rooms_export_are_pickled():
    summary = summarise_seeds([0.5, 0.7])
    again = pickle.loads(pickle.dumps(summary))
    assert isinstance(again, SeedSummary)
    assert again == summary
