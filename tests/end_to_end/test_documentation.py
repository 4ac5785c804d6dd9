"""What the documentation shows is true: its Python runs, its command lines are taken, its pictures are there."""

from __future__ import annotations

import ast
import importlib.util
import os
import re
import shlex
import sys
from pathlib import Path
from types import ModuleType

import pytest

from deblend.cli import build_parser
from tests.conftest import PROJECT

DOCS = PROJECT / "docs"
TEXTS = [PROJECT / "README.md", *sorted(p for p in DOCS.rglob("*.md") if p.name != "decisions.md")]
FENCED = re.compile(r"^```[^\n]*\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^deblend ([a-z].*)$", re.MULTILINE)
CHEAP = {"transient", "normalizations", "priors", "solvers"}
"""Pages whose code takes seconds, or less; `make tutorials` runs all."""


def _tutorials() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tutorials", DOCS / "tutorials.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["tutorials"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


tutorials = _tutorials()


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(page, id=page.stem, marks=() if page.stem in CHEAP else pytest.mark.slow)
        for page in tutorials.pages()
        if any(block.is_run for block in tutorials.blocks(page.read_text()))
    ],
)
def test_what_a_page_shows_runs(page: Path) -> None:
    if os.environ.get("CI") and page.stem not in CHEAP:
        pytest.skip("takes a minute; `make tutorials` runs it")
    with tutorials.workplace() as folder:
        done = tutorials.run(page)
        made = {picture.name for picture in folder.glob("*.png")}
    for block, printed in done:
        assert not (block.is_run and "print(" in block.text) or printed.strip(), f"line {block.line} printed nothing"
    assert made == {name for name in re.findall(r"images/tutorials/([\w.]+)\)", page.read_text())}


def test_command_lines_are_such_as_the_program_takes() -> None:
    """In all blocks of all pages, whether they are run or not."""
    parser = build_parser()
    lines = [line for page in TEXTS for block in FENCED.findall(page.read_text()) for line in COMMAND.findall(block)]
    assert len(lines) > 15
    for line in lines:
        # ends the process where the parser does not take it, having said why
        parser.parse_args(shlex.split(line, comments=True))


def test_names_in_blocks_that_are_not_run_exist() -> None:
    """Imports from the package in any Python block of any page."""
    for page in TEXTS:
        for block in tutorials.blocks(page.read_text()):
            if block.kind != "python":
                continue
            for node in ast.walk(ast.parse(block.text)):
                if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("deblend"):
                    module = importlib.import_module(str(node.module))
                    assert not [a.name for a in node.names if not hasattr(module, a.name)], (
                        f"{page.name}: {node.module}"
                    )


def test_pictures_are_there_and_none_is_left_over() -> None:
    shown = {
        (page.parent / name).resolve()
        for page in TEXTS
        for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text())
    }
    assert shown == set((DOCS / "images").rglob("*.png"))


def test_the_api_has_every_name_of_the_package() -> None:
    import deblend

    pages = "\n".join(page.read_text() for page in (DOCS / "api").glob("*.md"))
    listed = re.findall(r"^::: ([\w.]+)$", pages, re.MULTILINE)
    missing = []
    for name in deblend.__all__:
        thing = getattr(deblend, name)
        whole = f"{thing.__module__}.{name}"
        if whole not in listed and thing.__module__ not in listed:
            missing.append(whole)
    assert not missing
