"""What a report's page is made of: text, tables, figures with their commands, and its style for screen and paper."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from landscape.static_inline import scheme_css
from version import __version__

STYLE = """
:root { color-scheme: light dark; --ground: #ffffff; --soft: #f3f5f8; --line: #d5dae1; --muted: #55606e; }
@media screen and (prefers-color-scheme: dark) {
  :root { --ground: #0e1117; --soft: #191e27; --line: #343b47; --muted: #a4adb9; }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 1280px; background: var(--ground); color: var(--ink);
  font: 16px/1.5 "Helvetica Neue", Helvetica, Arial, sans-serif; }
h1 { font-size: 1.8rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.25rem; margin: 2.4rem 0 .8rem; padding-bottom: .3rem; border-bottom: 1px solid var(--line); }
p { max-width: 75ch; margin: .5rem 0; }
.muted { color: var(--muted); }
code, pre { font: .84rem/1.45 ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace; }
pre { background: var(--soft); padding: .6rem .8rem; border-radius: 6px; white-space: pre-wrap; overflow-wrap: anywhere;
  margin: .4rem 0; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 500px), 1fr)); gap: 1.6rem; }
figure { margin: 0; min-width: 0; break-inside: avoid; }
figure svg { display: block; width: 100%; height: auto; }
figure svg text { font-family: "Helvetica Neue", Helvetica, Arial, sans-serif !important; }
figcaption { font-size: .9rem; }
figcaption b { display: block; font-size: 1rem; }
.scroll { overflow-x: auto; margin: .6rem 0 1.2rem; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; }
th { font-weight: 600; background: var(--soft); }
.n { text-align: right; white-space: nowrap; }
td:first-child { white-space: nowrap; }
td { min-width: 4.5rem; }
.words td { min-width: 8rem; }
.words td:nth-child(2) { min-width: 13rem; }
summary { cursor: pointer; }
@media print {
  body { font-size: 10.5pt; max-width: none; padding: 0; }
  .figures { grid-template-columns: 1fr 1fr; gap: 1rem; }
  h2 { break-after: avoid; }
  tr { break-inside: avoid; }
  .scroll { overflow: visible; }
  table { font-size: 8pt; }
  th, td { padding: .2rem .35rem; }
}
"""


def page(title: str, description: str, name: str, parts: Sequence[str]) -> str:
    """The whole page."""
    said = f'<p class="muted">{escape(description)}</p>\n' if description else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{scheme_css()}{STYLE}</style>\n</head>\n<body>\n"
        f'<header>\n<h1>{escape(title)}</h1>\n{said}<p class="muted">Report of the experiment {escape(name)}, '
        f"made by Unlearnscape {escape(__version__)}.</p>\n</header>\n<main>\n"
        + "\n".join(parts)
        + "\n</main>\n</body>\n</html>\n"
    )


def section(title: str, body: str) -> str:
    """A part of the page under a heading."""
    return f"<section>\n<h2>{escape(title)}</h2>\n{body}\n</section>"


def paragraph(text: str, *, strong: str = "") -> str:
    """A paragraph, with an opening in bold if there is one."""
    opening = f"<strong>{escape(strong)}</strong> " if strong else ""
    return f"<p>{opening}{escape(text)}</p>\n"


def code(text: str) -> str:
    """Lines of code; long ones wrap."""
    return f"<pre><code>{escape(text)}</code></pre>\n"


def hint(text: str, command: str) -> str:
    """A sentence and the command that it speaks of."""
    return paragraph(text) + code(command)


def details(title: str, body: str) -> str:
    """Something to be opened."""
    return f"<details>\n<summary>{escape(title)}</summary>\n{body}</details>\n"


def figure_block(title: str, drawing: str, alt: str, command: str) -> str:
    """A drawing with its title, what it shows in words, and the command that draws it again."""
    words = f"<b>{escape(title)}</b>{escape(alt)}"
    return f"<figure>\n{drawing}\n<figcaption>{words}{code(command)}</figcaption>\n</figure>\n"


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], *, words: bool = False) -> str:
    """A table that scrolls by itself on a narrow screen; numbers stand to the right unless it is of words."""
    right = [not words and all(_is_number(row[i]) for row in rows) for i in range(len(heads))]
    head = "".join(f'<th scope="col"{_side(side)}>{escape(cell)}</th>' for cell, side in zip(heads, right, strict=True))
    lines = ["".join(f"<td{_side(n)}>{escape(c)}</td>" for c, n in zip(row, right, strict=True)) for row in rows]
    body = "\n".join(f"<tr>{line}</tr>" for line in lines)
    kind = ' class="words"' if words else ""
    return (
        f'<div class="scroll" tabindex="0">\n<table{kind}>\n<thead><tr>{head}</tr></thead>\n'
        f"<tbody>\n{body}\n</tbody>\n</table>\n</div>\n"
    )


def _is_number(cell: str) -> bool:
    return cell == "–" or cell[:1].isdigit() or cell[:1] in "+-−"


def _side(right: bool) -> str:
    return ' class="n"' if right else ""


def number(value: float | None) -> str:
    """A UD with three decimals, or a dash."""
    return "–" if value is None or value != value else f"{value:.3f}"
