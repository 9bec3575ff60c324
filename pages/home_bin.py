"""Home: renaming and deleting what a card shows, undoing that, and what was deleted."""

from __future__ import annotations

from pathlib import Path

import streamlit as st

from experiments import Experiment, deleting
from experiments.catalogue import LONGEST_TITLE, retitle
from experiments.classroom import limits
from experiments.deleting import Deleted
from pages.links import plain

RENAME, DELETE = ":material/edit: Rename…", ":material/delete: Delete…"
NOTICE = "bin-notice"  # (what was deleted last or why not, the kind and place of its card)


def more(folder: Path, title: str, kind: str, at: int) -> None:
    """Offer to rename or delete what a card shows; nothing where it ships with the project, or in a class.

    Args:
        folder: Of the experiment or benchmark.
        title: What the card calls it.
        kind: ``experiment`` or ``benchmark``.
        at: The card's place in its gallery, where Undo is offered afterwards.
    """
    if not deleting.can_delete(folder):
        return
    pressed = st.menu_button(
        f"More *{plain(folder.name)}*",
        [RENAME, DELETE] if kind == "experiment" else [DELETE],
        key=f"more-{kind}-{folder.name}",
        type="tertiary",
    )
    if pressed == RENAME:
        _rename(folder, title)
    elif pressed == DELETE:
        called = f"**{plain(title)}** ({plain(folder.name)})" if title != folder.name else f"**{plain(title)}**"
        why_not = deleting.why_not(folder)
        goes = "" if why_not else f"The {kind} {called} goes: {deleting.contents(folder).in_words()}."
        _ask(folder, kind, at, goes, why_not)


@st.dialog("Another title")
def _rename(folder: Path, title: str) -> None:
    new = st.text_input("Title", title, max_chars=LONGEST_TITLE, key=f"title-{folder.name}")
    st.caption(f"Links and commands go on calling it {plain(folder.name)}.")
    if st.button("Rename", key="bin-rename", type="primary", on_click=_retitle, args=(folder,)) and new.strip():
        st.rerun()


@st.dialog("Delete it?")
def _ask(folder: Path, kind: str, at: int, goes: str, why_not: str) -> None:
    """What is asked stays the same once the answer has been given, else the answer's button would be missing."""
    if why_not:
        st.error(why_not, icon=":material/error:")
    else:
        st.markdown(goes)
        st.markdown("It moves to *Deleted*, at the end of this page, and can be restored from there.")
    with st.container(horizontal=True):
        if not why_not and st.button(
            "Delete", key="bin-delete", type="primary", on_click=_delete, args=(folder, kind, at)
        ):
            st.rerun()
        if st.button("Close" if why_not else "Keep it", key="bin-keep"):
            st.rerun()


def notice(kind: str) -> int | None:
    """The place, among the cards of a kind, where something is to be said about what was deleted last."""
    said = st.session_state.get(NOTICE)
    if said is None or said[1] != kind:
        return None
    if isinstance(said[0], Deleted) and not said[0].folder.is_dir():  # restored or gone for good, maybe elsewhere
        del st.session_state[NOTICE]
        return None
    return int(said[2])


def notice_card() -> None:
    """Say what was deleted, in the place of its card, with a way back; or why it was not."""
    what, _, _ = st.session_state[NOTICE]
    if isinstance(what, Deleted):
        st.markdown(f"**{plain(what.name)}** was deleted.")
        st.button("Undo", key="bin-undo", type="primary", icon=":material/undo:", on_click=_restore, args=(what,))
    else:
        st.error(what, icon=":material/error:")
    st.button("Close", key="bin-close", type="tertiary", on_click=_close)


def bin_panel() -> None:
    """What was deleted: restore it, or delete it for good."""
    found = deleting.list_deleted()
    allowed = limits()
    if not found or (allowed is not None and not allowed.deleting):
        return
    with st.expander(f"Deleted ({len(found)})", icon=":material/delete:", key="bin"):
        for one in found:
            words, back, away = st.columns([6, 1.5, 2.5], vertical_alignment="center")
            words.markdown(
                f"**{plain(one.name)}**  \n:gray[deleted {one.when:%Y-%m-%d %H:%M} · {_held(str(one.folder))}]"
            )
            back.button(
                "Restore",
                key=f"restore-{one.id}",
                icon=":material/undo:",
                help=f"Bring {plain(one.name)} back.",
                width="stretch",
                on_click=_restore,
                args=(one,),
            )
            with away.popover("Delete for good…", key=f"away-{one.id}", width="stretch"):
                st.markdown(f"**{plain(one.name)}** cannot be restored after that.")
                st.button("Delete for good", key=f"gone-{one.id}", type="primary", on_click=_for_good, args=((one,),))
        if len(found) > 1:
            with st.popover("Delete all of them for good…", key="away-all"):
                st.markdown(f"None of these {len(found)} can be restored after that.")
                st.button(
                    "Delete all for good", key="gone-all", type="primary", on_click=_for_good, args=(tuple(found),)
                )


@st.cache_data(max_entries=256, show_spinner=False)
def _held(folder: str) -> str:
    return deleting.contents(Path(folder)).in_words()


# In callbacks: a page that draws itself anew meanwhile loses no press.


def _retitle(folder: Path) -> None:
    try:
        retitle(Experiment(folder), st.session_state[f"title-{folder.name}"])
    except (ValueError, OSError) as error:
        st.toast(str(error), icon=":material/error:")


def _delete(folder: Path, kind: str, at: int) -> None:
    try:
        st.session_state[NOTICE] = (deleting.delete(folder), kind, at)
    except (ValueError, OSError) as error:
        st.session_state[NOTICE] = (str(error), kind, at)


def _restore(one: Deleted) -> None:
    try:
        folder = deleting.restore(one)
    except (ValueError, OSError) as error:
        st.toast(str(error), icon=":material/error:")
        return
    renamed = "" if folder.name == one.name else f" as {folder.name}, because its name was taken"
    st.toast(f"{plain(one.name)} was restored{renamed}.", icon=":material/undo:")


def _for_good(these: tuple[Deleted, ...]) -> None:
    try:
        for one in these:
            deleting.delete_for_good(one)
    except (ValueError, OSError) as error:
        st.toast(str(error), icon=":material/error:")


def _close() -> None:
    st.session_state.pop(NOTICE, None)


__all__ = ["bin_panel", "more", "notice", "notice_card"]
