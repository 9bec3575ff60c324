"""State in the link: one note about what an address asked for in vain, nearest values, and bookmarks."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlencode

import streamlit as st
from streamlit.navigation.page import StreamlitPage
from streamlit.runtime.scriptrunner import get_script_run_ctx

from experiments import bookmarks, classroom
from experiments.bookmarks import Bookmark

OWN = {"compare": ("at",), "live": ("watch",), "lessons": ("done",)}  # parameters that pages read themselves
OF_VIEWS = {  # parameters that the browser writes, on pages with a 3-D view of their own: what they may be
    "cam": re.compile(r"(-?\d{1,2}(\.\d{1,3})?)(,-?\d{1,2}(\.\d{1,3})?){2}((,-?\d{1,2}(\.\d{1,3})?){3})?"),
    "rate": re.compile(r"0\.5|2|4"),
}
WITH_VIEWS = ("", "compare", "live")
SEVERAL = ("runs", "poisoned", "methods", "controls", "defences", "paths", "race-", "image")  # none may be chosen
LONGEST_SHOWN = 24  # characters of a value in a note
MOST_NAMED = 3  # parameters in a note
Value = TypeVar("Value", int, float)


# What a link asks for ---------------------------------------------------------------------------------------


@contextmanager
def honoured(opened: StreamlitPage) -> Iterator[None]:
    """Run a page, then say once, above it, which parts of the link that led to it were not honoured.

    Widgets bound to the address take what is valid and drop the rest without a word; this compares what was asked
    with what they took.
    """
    keep_up()
    place = st.container()
    state, page = st.session_state, opened.url_path
    if state.get("link-page") != page:
        asked = _query()
        state["link-page"], state["link-asked"], state["link-note"] = page, asked, ""
        state["link-dropped"] = [key for key, values in asked.items() if _stumbles(key, values)]
        if state["link-dropped"]:
            bound = [key for key in asked if key in state]  # widgets of all pages, which guard their parameter
            away = {*state["link-dropped"], *bound}
            st.switch_page(opened, query_params={k: values for k, values in asked.items() if k not in away})
    yield  # an exception, such as the one that starts a run anew, leaves what was asked for the next run
    asked = state.pop("link-asked", None)
    if asked is not None:
        dropped = state.pop("link-dropped", ())
        ignored = {k: values for k, values in asked.items() if k in dropped or not _taken(page, k, values)}
        for key in ignored:
            # On the front page they stay: they may be meant for the page one goes on to.
            if page and key in st.query_params and key not in state:
                del st.query_params[key]
        state["link-note"] = _note(ignored, state.pop("link-reasons", {}))
        state["link-after"] = _query()
    if state.get("link-note") and state.get("link-after") == _query():
        place.info(state["link-note"], icon=":material/link_off:")


def keep_up() -> None:
    """Before any control is made: let the server know what the address says by now.

    The browser writes a bound control's change into the address by itself, and the server's copy of the address stays
    as it was when the page was opened. Whatever is written into the address afterwards, or read from it as a bookmark,
    would bring back the earlier values. A control that is set to the value it has takes the server's copy along.
    """
    context = get_script_run_ctx()
    if context is None:
        return
    now, known = parse_qs(context.query_string, keep_blank_values=True), _query()
    for key in now.keys() | known.keys():
        if now.get(key) != known.get(key) and key in st.session_state:
            st.session_state[key] = st.session_state[key]
        elif now.get(key) != known.get(key) and key in OF_VIEWS and _plausible(key, now.get(key)):
            if key in now:
                st.query_params[key] = now[key][0]
            else:
                del st.query_params[key]


def nearest(key: str, options: Sequence[Value]) -> None:
    """Before a select slider is made: where the link asks for a number it does not have, take the nearest it has."""
    number = _number(st.query_params.get(key, ""))
    if key in st.session_state or number is None or not options or number in options:
        return
    st.session_state[key] = min(options, key=lambda option: abs(option - number))


def refuse(key: str, reason: str) -> None:
    """Say why a parameter that the page reads itself was not honoured."""
    st.session_state.setdefault("link-reasons", {})[key] = reason


def _query() -> dict[str, list[str]]:
    return {key: st.query_params.get_all(key) for key in st.query_params}


def _taken(page: str, key: str, values: list[str]) -> bool:
    """Whether a page took what the link asked for."""
    if key in OF_VIEWS and page in WITH_VIEWS:
        return _plausible(key, values)
    if key in OWN.get(page, ()):
        return key not in st.session_state.get("link-reasons", {})
    if key not in st.session_state:
        return False
    value = st.session_state[key]
    if isinstance(value, (list, tuple)):
        return {str(one) for one in value} == {one for one in values if one != ""}
    return len(values) == 1 and _same(value, values[0])


def _plausible(key: str, values: list[str] | None) -> bool:
    """Whether a parameter that the browser writes may be what it is; None where it is not there."""
    return values is None or (len(values) == 1 and OF_VIEWS[key].fullmatch(values[0]) is not None)


def _same(value: Any, asked: str) -> bool:
    if isinstance(value, bool):
        return asked.lower() in (("true", "1") if value else ("false", "0"))
    if isinstance(value, (int, float)):
        number = _number(asked)
        return number is not None and math.isclose(number, value, rel_tol=1e-9)
    return asked == ("" if value is None else str(value))


def _stumbles(key: str, values: list[str]) -> bool:
    """Whether a control would: of whole numbers over an infinite one, of one choice over none."""
    none = not any(values) and not key.startswith(SEVERAL)
    return none or any(map(_is_infinite, values))


def _is_infinite(text: str) -> bool:
    try:
        return math.isinf(float(text))
    except ValueError:
        return False


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _note(ignored: dict[str, list[str]], reasons: dict[str, str]) -> str:
    if not ignored:
        return ""
    named = [_part(key, values) for key, values in list(ignored.items())[:MOST_NAMED]]
    more = len(ignored) - len(named)
    words = ", ".join(named) + (f" and {more} more" if more > 0 else "")
    why = " ".join(reasons[key] for key in ignored if key in reasons)
    return f"This view does not have what the link asks for in {words}; the nearest view is shown. {why}".strip()


def _part(key: str, values: list[str]) -> str:
    """A parameter as code, shortened, so that nothing in it can act as markup."""
    text = f"{key}={','.join(values)}".replace("`", "'")
    text = "".join(letter if letter.isprintable() else "·" for letter in text)
    return f"`{text[:LONGEST_SHOWN]}…`" if len(text) > LONGEST_SHOWN else f"`{text}`"


# Bookmarks --------------------------------------------------------------------------------------------------


def bookmark_panel(page: str, files: dict[str, str]) -> None:
    """The sidebar's bookmarks: open one, keep the present view, rename, delete.

    Args:
        page: The present page's path.
        files: {path of a page: its file}, of all pages.
    """
    found = [one for one in bookmarks.list_bookmarks() if one.page in files]
    allowed = classroom.limits()
    changing = allowed is None or allowed.keep_bookmarks
    if not found and not changing:
        return
    with st.sidebar.expander("Bookmarks", icon=":material/bookmark:"):
        for one in found:
            st.page_link(
                files[one.page], label=plain(one.name), icon=":material/bookmark:", query_params=one.parameters
            )
        if changing:
            _keep(page)
            if found:
                _manage(found)
        elif not found:
            st.caption("There is none yet.")


def _keep(page: str) -> None:
    with st.form("bookmark-form", border=False, clear_on_submit=False):
        name = st.text_input("Name of this view", max_chars=bookmarks.LONGEST_NAME, key="bookmark-name")
        replace = st.checkbox("Replace one of this name", key="bookmark-replace")
        pressed = st.form_submit_button("Keep this view", icon=":material/bookmark_add:")
    if pressed:
        try:
            bookmarks.save_bookmark(name, page, urlencode(_query(), doseq=True), replace=replace)
        except ValueError as error:
            st.error(str(error), icon=":material/error:")
        else:
            st.rerun()


def _manage(found: list[Bookmark]) -> None:
    with st.popover("Rename or delete", width="stretch"):
        name = st.selectbox("Bookmark", [one.name for one in found], key="bookmark-chosen")
        new = st.text_input("New name", max_chars=bookmarks.LONGEST_NAME, key="bookmark-new")
        sure = st.checkbox("Yes, delete it", key="bookmark-sure")
        rename, delete = st.columns(2)
        try:
            if rename.button("Rename", key="bookmark-rename", disabled=not new.strip(), width="stretch"):
                bookmarks.rename_bookmark(name, new)
                st.rerun()
            if delete.button("Delete", key="bookmark-delete", disabled=not sure, width="stretch"):
                bookmarks.delete_bookmark(name)
                st.rerun()
        except ValueError as error:
            st.error(str(error), icon=":material/error:")


def plain(text: str) -> str:
    """Text as it is, with nothing taken for Markdown."""
    return "".join(f"\\{letter}" if letter in "\\`*_{}[]()#+-.!|<>~:$&" else letter for letter in text)
