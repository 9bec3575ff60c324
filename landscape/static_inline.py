"""Our figures as SVG inside a page: colours that follow the page's light or dark scheme, and ids that never clash."""

from __future__ import annotations

import html
import re

import plotly.graph_objects as go

from landscape.static_export import save_static
from landscape.style import CLEAN, COMPARED, CONTROL, LIGHTER, POISONED, REFERENCE, ink

# What a page must define: {CSS variable: (light, dark)}.
SCHEME = {
    "--ink": (ink(), ink(dark=True)),
    "--clean": (CLEAN, LIGHTER[CLEAN]),
    "--poisoned": (POISONED, LIGHTER[POISONED]),
    "--control": (CONTROL, LIGHTER[CONTROL]),
    "--reference": (REFERENCE, LIGHTER[REFERENCE]),
}
SCHEME |= {f"--compared-{k}": (tint, LIGHTER.get(tint, tint)) for k, tint in enumerate(COMPARED, start=1)}


def scheme_css() -> str:
    """Style rules that set the colours of inline figures, dark where the reader prefers it and never on paper."""
    light = "".join(f"{name}:{pair[0]};" for name, pair in SCHEME.items())
    dark = "".join(f"{name}:{pair[1]};" for name, pair in SCHEME.items())
    return f":root{{{light}}}\n@media screen and (prefers-color-scheme: dark){{:root{{{dark}}}}}\n"


def inline_svg(figure: go.Figure, *, prefix: str, width: int = 600, height: int = 420, font_size: float = 9.5) -> str:
    """An ``<svg>`` element that scales with its box and is described in words.

    Args:
        figure: One of our own figures, drawn for a light ground.
        prefix: Letters and digits, another one for every figure of a page.
        width, height: Of the drawing, in pixels at 100 per inch.
    """
    drawn = save_static(figure, "svg", width=width, height=height, font_size=font_size).decode()
    alt = str((figure.layout.meta or {}).get("alt", ""))
    return adapt_svg(drawn, prefix=prefix, alt=alt)


def adapt_svg(drawn: str, *, prefix: str, alt: str) -> str:
    """Make matplotlib's SVG file an element of a page: see :func:`inline_svg`."""
    body = drawn[drawn.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>\s*", "", body, flags=re.DOTALL)
    body = re.sub(r"<!--.*?-->\s*", "", body, flags=re.DOTALL)
    body = re.sub(r'<g id="patch_1">.*?</g>\s*', "", body, count=1, flags=re.DOTALL)  # the sheet of paper
    body = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}-\1"', body)
    body = re.sub(r'(href="|url\()#', rf"\1#{prefix}-", body)
    for name, (light, _) in SCHEME.items():
        body = re.sub(re.escape(light), f"var({name})", body, flags=re.IGNORECASE)
    # Presentation attributes cannot hold variables; styles can.
    body = re.sub(r'\b(fill|stroke)="(var\([^"]*\))"', r'style="\1: \2"', body)
    box = re.search(r'viewBox="([^"]+)"', body)
    head = f'<svg viewBox="{box[1] if box else "0 0 600 420"}" role="img" aria-label="{html.escape(alt)}"'
    head += ' xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink">'
    return head + body[body.index(">") + 1 :].strip()
