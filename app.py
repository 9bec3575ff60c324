"""The web door: navigation and the choice of the experiment. ``streamlit run app.py`` or ``make app``."""

# Before any figure: Plotly looks for pandas in what is loaded, and two first visitors at once would show it one that
# the other is still loading. An import waits until that is done.
import pandas  # noqa: F401
import streamlit as st

from experiments import classroom
from pages import links, parts, there

st.set_page_config(page_title="Unlearnscape", page_icon="🏔️", layout="wide")

FILES = {
    "": ("pages/home.py", "Home", ":material/home:"),
    "compare": ("pages/compare.py", "Compare paths", ":material/landscape:"),
    "sharpness": ("pages/sharpness.py", "Sharpness", ":material/show_chart:"),
    "distance": ("pages/distance.py", "Unlearnable Distance", ":material/straighten:"),
    "benchmark": ("pages/benchmark.py", "Benchmark", ":material/leaderboard:"),
    "cross_task": ("pages/cross_task.py", "Cross-task", ":material/call_split:"),
    "poison_lab": ("pages/poison_lab.py", "Poison lab", ":material/science:"),
    "live": ("pages/live.py", "Live", ":material/play_circle:"),
    "add_run": ("pages/add_run.py", "Add a run", ":material/add_circle:"),
    "lessons": ("pages/lessons.py", "Lessons", ":material/school:"),
}
LIMITS = classroom.limits()
HIDDEN = {"add_run"} if LIMITS is not None and not LIMITS.uploads else set()  # a link to it says why
PAGES = [
    st.Page(
        file,
        title=title,
        icon=icon,
        url_path=path or None,
        default=not path,
        visibility="hidden" if path in HIDDEN else "visible",
    )
    for path, (file, title, icon) in FILES.items()
]

page = st.navigation(PAGES)
parts.prepare()
with links.honoured(page):
    parts.experiment_picker(page.url_path)
    links.bookmark_panel(page.url_path, {path: file for path, (file, _, _) in FILES.items()})
    with there.while_there(st.session_state.get("exp")):
        page.run()
