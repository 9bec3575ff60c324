"""How pages are printed: what they show, without what moves it."""

from __future__ import annotations

_HIDDEN = (
    "stSidebar",
    "stHeader",
    "stToolbar",
    "stElementToolbar",
    "stButton",
    "stDownloadButton",
    "stLinkButton",
    "stPageLink",
    "stPopover",
    "stButtonGroup",
    "stSlider",
    "stSelectbox",
    "stMultiSelect",
    "stTextInput",
    "stFileUploader",
    "stCheckbox",
    "stTooltipIcon",
)
_SHOWN = (
    '[data-testid="stMetric"]',
    '[data-testid="stMarkdown"]',
    '[data-testid="stCaptionContainer"]',
    '[data-testid="stAlert"]',
    '[data-testid="stDataFrame"]',
    '[data-testid="stRadio"]',
    '[data-testid="stNumberInput"]',
    ".js-plotly-plot",
    "table",
    "canvas",
    "img",
)
# Charts keep the width that they have on the screen, which is wider than a sheet of paper.
PRINT_CSS = f"""
<style>
@page {{ size: landscape; margin: 12mm; }}
@media print {{
  {", ".join(f'[data-testid="{one}"]' for one in _HIDDEN)} {{ display: none !important; }}
  [data-testid="stExpander"]:has(> details:not([open])) {{ display: none !important; }}
  [data-testid="stColumn"]:not(:has({", ".join(_SHOWN)})) {{ display: none !important; }}
  [data-testid="stMain"] {{ zoom: 0.7; }}
  [data-testid="stMainBlockContainer"] {{ padding: 0 !important; max-width: none !important; }}
  .stage-player :is(button, select, input) {{ display: none !important; }}
  .js-plotly-plot, [data-testid="stMetric"], img {{ break-inside: avoid; }}
  h1, h2, h3 {{ break-after: avoid; }}
}}
</style>
"""
