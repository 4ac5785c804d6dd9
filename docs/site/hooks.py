"""What the pages need besides Markdown: equations as MathML, made when the site is built, so that a reader's browser
fetches nothing; and files of the project that lie outside of this folder (`{{ CHANGELOG.md }}`), with their links.

An equation that cannot be converted ends the build.
"""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

from latex2mathml.converter import convert
from mkdocs.exceptions import PluginError

PROJECT = Path(__file__).resolve().parents[2]
INCLUDED = re.compile(r"^\{\{ (\S+) \}\}$", re.MULTILINE)
FUNCTION = re.compile(r"(<mi>(?:ln|log|exp)</mi>)")
LEFT_OVER = re.compile(r"\$[^$<]*\\[a-z]+")
CODE = re.compile(r"<(code|pre)\b.*?</\1>", re.DOTALL)
INLINE = re.compile(r'<span class="arithmatex">\\\((.*?)\\\)</span>', re.DOTALL)
DISPLAY = re.compile(r'<div class="arithmatex">\\\[(.*?)\\\]</div>', re.DOTALL)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Put files of the project in, with links that lead to where pages are here."""
    return INCLUDED.sub(lambda match: (PROJECT / match[1]).read_text().replace("](../docs/", "]("), markdown)


def on_page_content(content: str, page: Any, **_: Any) -> str:
    """Replace equations in LaTeX by MathML."""
    content = DISPLAY.sub(lambda match: _equation(match[1], "block"), content)
    content = INLINE.sub(lambda match: _equation(match[1], "inline"), content)
    if found := LEFT_OVER.search(CODE.sub("", content)):
        raise PluginError(f"{page.file.src_path}: {found[0]!r} is an equation that Markdown has cut; no | in tables.")
    return content


def _equation(latex: str, display: str) -> str:
    converted = str(convert(html.unescape(latex).strip(), display=display))
    if unknown := re.search(r"\\[a-z]+", converted):
        raise PluginError(f"{unknown[0]} in {latex!r} cannot be converted to MathML; write it another way.")
    # a thin space behind names of functions, which LaTeX would have set
    return FUNCTION.sub(r'\1<mspace width="0.17em"/>', converted)
