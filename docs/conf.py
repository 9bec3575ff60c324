"""How Sphinx makes the site of ``docs/``; ``make docs`` writes it to ``docs/_build/html``, where it opens as files.

Pages are Markdown (MyST), so that they read as well where the repository is looked at; the reference comes from the
docstrings. Nothing is fetched, neither while the site is built nor while it is read.
"""

from __future__ import annotations

import inspect
import re
import sys
from pathlib import Path
from typing import Any

from sphinx import addnodes
from sphinx.util.inspect import stringify_signature
from sphinx.util.nodes import make_refnode

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from version import __version__

project = "Unlearnscape"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
highlight_language = "none"  # a block without a language shows what is typed at a terminal

autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_preserve_defaults = True
napoleon_use_ivar = True
napoleon_attr_annotations = False  # a signature names the types already
napoleon_use_rtype = False
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 88
add_module_names = False
toc_object_entries_show_parents = "hide"

nitpicky = True  # a reference in a docstring that leads nowhere is an error
ROOMS = ("checkpoints", "landscape", "training", "analysis", "experiments")

html_theme = "furo"
html_title = "Unlearnscape"
html_show_copyright = False
html_copy_source = False
html_show_search_summary = False  # summaries are fetched, which browsers refuse for files
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0072B2", "color-brand-content": "#0072B2"},
    "dark_css_variables": {"color-brand-primary": "#56B4E9", "color-brand-content": "#56B4E9"},
}


def setup(app: Any) -> None:
    """Signatures as they are written, references under the names that the packages export."""
    app.connect("autodoc-process-signature", written_signature)
    app.connect("autodoc-process-docstring", one_name_each, priority=900)  # after Napoleon
    app.connect("missing-reference", find_exported)


def written_signature(
    app: Any, what: str, name: str, thing: Any, options: Any, signature: str | None, returns: str | None
) -> tuple[str, str | None] | None:
    """``x: ArrayLike`` as in the source, not as the union of a hundred types that it stands for."""
    if getattr(thing, "_is_protocol", False):
        return "", None
    if what == "exception" or not signature:
        return None
    given = inspect.signature(thing)
    parameters = [one for at, one in enumerate(given.parameters.values()) if at or one.name != "self"]
    shown = stringify_signature(given.replace(parameters=parameters), show_return_annotation=False)
    result = given.return_annotation
    return shown, result if isinstance(result, str) and what != "class" else None


def one_name_each(app: Any, what: str, name: str, thing: Any, options: Any, lines: list[str]) -> None:
    """Attributes described together (``s_max, s_min: …``) become one line each."""
    fields: list[str] = []
    for line in lines:  # a field begins at the margin; what is indented or empty goes on with it
        if fields and fields[-1].startswith(":ivar ") and (not line or line.startswith(" ")):
            fields[-1] += "\n" + line
        else:
            fields.append(line)
    lines[:] = [line for field in fields for one in _apart(field) for line in one.split("\n")]


def _apart(field: str) -> list[str]:
    several = re.match(r":ivar (\w+(?:, \w+)+):", field)
    return [f":ivar {one}:{field[several.end() :]}" for one in several[1].split(", ")] if several else [field]


def find_exported(app: Any, env: Any, node: Any, shown: Any) -> Any:
    """Resolve ``Plane`` and ``landscape.planes.Plane`` as ``landscape.Plane``.

    What else a signature names, such as types of NumPy, stays plain text; in the text of a docstring it is an error.
    """
    if node.get("refdomain") != "py":
        return None
    parts = str(node.get("reftarget", "")).split(".")
    objects = env.get_domain("py").objects
    rooms = parts[:1] if parts[0] in ROOMS else ROOMS
    for name in (f"{room}.{'.'.join(parts[-length:])}" for room in rooms for length in (1, 2)):
        if name in objects:
            found = objects[name]
            return make_refnode(app.builder, node["refdoc"], found.docname, found.node_id, shown)
    above = node.parent
    while above is not None and not isinstance(above, addnodes.desc_signature):
        above = above.parent
    return None if above is None else shown
