"""What page tests share."""

import pytest
from streamlit.runtime.pages_manager import PagesManager


@pytest.fixture
def navigation(monkeypatch):
    """Know from the start that app.py navigates, as a server does after its first page.

    AppTest forgets it before every run; the page then starts twice, and a button's click is lost in between.
    """
    before = PagesManager.__init__

    def begin(self, *args, **kwargs):
        before(self, *args, **kwargs)
        PagesManager.uses_pages_directory = False

    monkeypatch.setattr(PagesManager, "__init__", begin)
