"""The web door: navigation and the choice of the experiment. ``streamlit run app.py`` or ``make app``."""

import streamlit as st

from pages import parts

st.set_page_config(page_title="Unlearnscape", page_icon="🏔️", layout="wide")

PAGES = [
    st.Page("pages/home.py", title="Home", icon=":material/home:", default=True),
    st.Page("pages/compare.py", title="Compare paths", icon=":material/landscape:", url_path="compare"),
    st.Page("pages/sharpness.py", title="Sharpness", icon=":material/show_chart:", url_path="sharpness"),
    st.Page("pages/distance.py", title="Unlearnable Distance", icon=":material/straighten:", url_path="distance"),
    st.Page("pages/benchmark.py", title="Benchmark", icon=":material/leaderboard:", url_path="benchmark"),
    st.Page("pages/poison_lab.py", title="Poison lab", icon=":material/science:", url_path="poison_lab"),
    st.Page("pages/live.py", title="Live", icon=":material/play_circle:", url_path="live"),
]

page = st.navigation(PAGES)
parts.prepare()
parts.experiment_picker(page.url_path)
page.run()
