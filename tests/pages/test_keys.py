"""A viewer goes from page to page in one session: what one page keeps under a key, no other takes for its own."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

PAGES = Path(__file__).parents[2] / "pages"
VALUES = {
    "checkbox",
    "multiselect",
    "number_input",
    "pills",
    "radio",
    "segmented_control",
    "select_slider",
    "selectbox",
    "slider",
    "text_area",
    "text_input",
    "toggle",
}
SHARED = {"download"}  # the same permission on two pages


def test_no_two_widgets_that_keep_a_value_share_a_key():
    found = defaultdict(set)
    for file in sorted(PAGES.rglob("*.py")):
        for call in ast.walk(ast.parse(file.read_text())):
            if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in VALUES):
                continue
            for keyword in call.keywords:
                if keyword.arg == "key" and isinstance(keyword.value, ast.Constant):
                    found[keyword.value.value].add(file.name)
    assert len(found) > 20, "the widgets of the pages are found"
    clashes = {key: places for key, places in found.items() if len(places) > 1 and key not in SHARED}
    assert not clashes, clashes
