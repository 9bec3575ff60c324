"""Home in a real browser: a dialog runs apart from its page, so that only here its answers meet it as they will."""

from __future__ import annotations

import shutil

from playwright.sync_api import Page

from experiments import Experiment, deleting, load_preset_or_file
from tests.browser.conftest import Server
from tests.browser.steps import open_page


def test_an_experiment_is_renamed_deleted_and_brought_back(server: Server, page: Page):
    mine, other = server.home / "to-tidy", server.home / "to-look-at"  # without a surface to draw
    for folder in (mine, other):
        Experiment.create(load_preset_or_file("toy-random"), folder)
    try:
        open_page(page, f"{server.url}/?exp=to-look-at")
        more = page.get_by_role("button", name="More to-tidy", exact=False)
        more.click()
        page.get_by_role("menuitem", name="Rename…").click()
        page.get_by_role("textbox", name="Title").fill("Tidied")
        page.get_by_role("button", name="Rename", exact=True).click()
        page.get_by_text("Tidied", exact=True).wait_for()
        more.click()
        page.get_by_role("menuitem", name="Delete…").click()
        page.get_by_text(f"goes: {deleting.contents(mine).in_words()}.").wait_for()
        page.get_by_role("button", name="Delete", exact=True).click()
        page.get_by_text("to-tidy was deleted.").wait_for()
        assert not mine.exists()
        assert not page.get_by_role("dialog").count()
        page.get_by_role("button", name="Undo").click()
        more.wait_for()
        assert mine.is_dir()
    finally:
        for folder in (mine, other):
            shutil.rmtree(folder, ignore_errors=True)
