"""Bookmarks survive, keep apart, and refuse what they cannot keep in one sentence."""

import json
import os

import pytest

from experiments import bookmarks
from experiments.bookmarks import BookmarkError, delete_bookmark, list_bookmarks, rename_bookmark, save_bookmark


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("UNLEARNSCAPE_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def test_a_view_comes_back_as_it_was_kept():
    save_bookmark("  My   view ", "compare", "exp=toy-ops&view=Both&runs=a&runs=b")
    (kept,) = list_bookmarks()
    assert (kept.name, kept.page) == ("My view", "compare")
    assert kept.parameters == [("exp", "toy-ops"), ("view", "Both"), ("runs", "a"), ("runs", "b")]


def test_names_are_sorted_and_taken_once():
    for name in ("b", "A", "c"):
        save_bookmark(name, "", "")
    assert [one.name for one in list_bookmarks()] == ["A", "b", "c"]
    with pytest.raises(BookmarkError, match="already"):
        save_bookmark("a", "", "x=1")
    save_bookmark("a", "", "x=1", replace=True)
    assert [(one.name, one.query) for one in list_bookmarks()] == [("a", "x=1"), ("b", ""), ("c", "")]


def test_renaming_and_deleting_lose_nothing_else():
    save_bookmark("one", "live", "watch=x")
    save_bookmark("two", "", "")
    with pytest.raises(BookmarkError, match="already"):
        rename_bookmark("one", "two")
    assert len(list_bookmarks()) == 2
    assert rename_bookmark("one", "three").query == "watch=x"
    assert rename_bookmark("three", "Three").name == "Three"
    delete_bookmark("two")
    delete_bookmark("two")
    assert [one.name for one in list_bookmarks()] == ["Three"]
    with pytest.raises(BookmarkError, match="any more"):
        rename_bookmark("gone", "x")


@pytest.mark.parametrize("name", ["", "   ", "a" * 61, "a\x00b", "\u202e"])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(BookmarkError, match="printable"):
        save_bookmark(name, "", "")


@pytest.mark.parametrize("name", ["../../etc/passwd", "<script>", "a/b", "CON", ".", "ü – 名"])
def test_any_printable_name_stays_in_its_folder(home, name):
    save_bookmark(name, "", "q=1")
    assert [one.name for one in list_bookmarks()] == [name]
    assert all(path.parent == home / "bookmarks" for path in home.rglob("*.json"))


def test_foreign_pages_and_endless_addresses_are_refused():
    with pytest.raises(BookmarkError, match="no page"):
        save_bookmark("x", "../up", "")
    with pytest.raises(BookmarkError, match="longer than"):
        save_bookmark("x", "", "a" * 5000)


def test_damaged_and_hostile_files_are_left_out_and_left_alone(home):
    save_bookmark("good", "", "")
    folder = home / "bookmarks"
    evil = {"name": "x", "page": "https://elsewhere", "query": "", "saved": 0}
    contents = {
        "a": "{",
        "b": "[]",
        "c": json.dumps(evil),
        "d": json.dumps(evil | {"page": "", "query": "q" * 9000}),
        "e": "[" * 10_000,
        "f": json.dumps(evil | {"page": "", "name": "a\nb"}),
        "g": "x" * 50_000,
    }
    for name, text in contents.items():
        (folder / f"{name}.json").write_text(text)
    assert [one.name for one in list_bookmarks()] == ["good"]
    assert len(list(folder.iterdir())) == 8


def test_a_full_disk_is_a_sentence_and_keeps_what_was(home, monkeypatch):
    save_bookmark("kept", "", "a=1")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(BookmarkError, match="disk is full"):
        save_bookmark("kept", "", "a=2", replace=True)
    assert [one.query for one in list_bookmarks()] == ["a=1"]


def test_a_place_that_is_a_file_is_a_sentence(home):
    home.parent.mkdir(exist_ok=True)
    home.write_text("in the way")
    with pytest.raises(BookmarkError, match="cannot be kept"):
        save_bookmark("x", "", "")
    assert list_bookmarks() == []


def test_there_is_an_end_to_bookmarks(monkeypatch):
    monkeypatch.setattr(bookmarks, "MOST", 2)
    save_bookmark("a", "", "")
    save_bookmark("b", "", "")
    with pytest.raises(BookmarkError, match="delete one first"):
        save_bookmark("c", "", "")
    save_bookmark("b", "", "x=1", replace=True)
