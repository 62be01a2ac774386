"""The page around a report: its head, its style in light and dark, and text made safe."""

from __future__ import annotations

from html import escape as _escape

STYLE = """
:root { color-scheme: light dark; --ink: #1f2933; --soft: #52606d; --line: #dde3e9;
        --paper: #ffffff; --panel: #f5f7fa; --good: #14704c; --bad: #a8322a; --accent: #2a9d6f }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e9ee; --soft: #a3b0bd; --line: #38434e; --paper: #14191f; --panel: #1e252d;
          --good: #5fd0a0; --bad: #ff938a; --accent: #45c491 } }
body { font: 16px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
       margin: 2.5rem auto; max-width: 84rem; padding: 0 1.5rem }
h1 { font-size: 1.6rem; margin-bottom: .2rem } h2 { font-size: 1.15rem; margin-top: 2.4rem }
h3 { font-size: 1rem; margin: 1.2rem 0 .2rem }
p, li { max-width: 60rem }
.verdict { font-size: 1.05rem; border-left: 4px solid var(--accent); padding: .5rem 1rem;
           background: var(--panel); max-width: none }
ul.verdict { list-style-position: inside }
small, .note, figcaption { color: var(--soft) }
.scroll { overflow-x: auto }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums;
        font-size: .92rem }
caption { text-align: left; color: var(--soft); padding-bottom: .4rem }
th, td { padding: .35rem .5rem; text-align: right; border-bottom: 1px solid var(--line) }
thead th { font-weight: 600; font-size: .85rem; color: var(--soft); vertical-align: bottom }
th:first-child, td:first-child { text-align: left; white-space: nowrap }
tbody th { font-weight: 400 }
pre { background: var(--panel); padding: 1rem; font-size: .85rem; white-space: pre-wrap;
      overflow-wrap: anywhere }
figure { margin: .5rem 0 } svg { width: 100%; height: auto }
"""


def page(title: str, body: str, *, style: str = "", script: str = "") -> str:
    """A whole page with ``body`` (HTML) under ``title`` (text)."""
    code = f"<script>{script}</script>\n" if script else ""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{text(title)}</title>
<style>{STYLE}{style}</style></head>
<body>
{body}
{code}</body></html>
"""


def text(value: object) -> str:
    """``value`` as text in HTML or SVG, also inside a quoted attribute."""
    return _escape(str(value), quote=True)
