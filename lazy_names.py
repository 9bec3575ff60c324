"""Packages that load what a name stands for when the name is first asked for (PEP 562).

Who looks at stored results needs neither PyTorch nor scikit-learn then, which take seconds to load. A package writes
its imports as ever, so that type checkers, the layer check and readers see them, and exports what ``__all__`` names::

    if TYPE_CHECKING:
        from package.module import Name
    else:
        __getattr__, __dir__ = lazy_names(__name__)
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any


def lazy_names(package: str) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """``__getattr__`` and ``__dir__`` of a package, from the imports under its ``if TYPE_CHECKING``."""
    module = sys.modules[package]
    homes = _homes(inspect.getsource(module))

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}", name=name, obj=module)
        found = getattr(import_module(homes[name]), name)
        setattr(module, name, found)  # from now on found without this function
        return found

    def names() -> list[str]:
        return sorted({*vars(module), *homes})

    return get, names


def load(*packages: str) -> None:
    """Load everything that packages export, as a server does before anybody waits for it."""
    for package in packages:
        module = import_module(package)
        for name in module.__all__:
            getattr(module, name)


def _homes(source: str) -> dict[str, str]:
    """{name: module it is imported from}."""
    blocks = [
        node
        for node in ast.parse(source).body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    ]
    imports = [node for block in blocks for node in block.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: str(one.module) for one in imports for alias in one.names}
