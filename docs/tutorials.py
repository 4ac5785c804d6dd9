#!/usr/bin/env python3
"""Run what the tutorials, and some other pages, show, as they show it: `make tutorials`.

A page is its own program: all its `python` and `sh` blocks are run from top to bottom in an empty folder that has the
sample data, Python in one namespace and command lines by the program's own `main`. With `--write` the `text` block that
follows one is replaced by what it printed, and pictures that it saved go to `docs/images/tutorials/`.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shlex
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

DOCS = Path(__file__).resolve().parent
IMAGES = DOCS / "images" / "tutorials"
FENCE = re.compile(r"^```(?P<kind>[a-z]+)(?P<info>[^\n]*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = "not-run"
"""Said behind the language of a block that is only looked at: it needs a window, a network, or an hour."""


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    kind: str
    """The language: "python", "sh" or "text"."""
    text: str
    is_run: bool
    start: int
    """Of its text within the page."""
    line: int


def pages() -> list[Path]:
    """Return the pages whose code is run: tutorials, concepts, and how to extend."""
    return [*sorted((DOCS / "tutorials").glob("*.md")), *sorted((DOCS / "concepts").glob("*.md")), DOCS / "extend.md"]


def blocks(page: str) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    return [
        Block(
            match["kind"],
            match["text"],
            match["kind"] in ("python", "sh") and NOT_RUN not in match["info"],
            match.start("text"),
            page.count("\n", 0, match.start("text")) + 1,
        )
        for match in FENCE.finditer(page)
    ]


def commands(block: Block) -> list[list[str]]:
    """Return the command lines of an `sh` block as words, without comments."""
    lines = block.text.replace("\\\n", " ").splitlines()
    return [words for line in lines if (words := shlex.split(line, comments=True))]


def expanded(words: list[str]) -> list[str]:
    """Return words as a shell would have them: patterns become the names of files, in their order."""
    found = [sorted(map(str, Path().glob(word))) if set("*?[") & set(word) else [] for word in words]
    return [name for word, names in zip(words, found, strict=True) for name in names or [word]]


@contextlib.contextmanager
def workplace() -> Iterator[Path]:
    """Give an empty folder with the sample data in it, as the present one."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(prefix="deblend-tutorial-") as folder:
        (Path(folder) / "sample_data").symlink_to(DOCS.parent / "sample_data")
        os.chdir(folder)
        try:
            yield Path(folder)
        finally:
            os.chdir(before)


def run(path: Path) -> list[tuple[Block, str]]:
    """Run a page in the present folder; return its blocks with what each has printed.

    Raises what a Python block raises, and SystemExit for a command that fails.
    """
    from deblend.cli import main

    names: dict[str, object] = {"__name__": "__main__"}
    done = []
    for block in blocks(path.read_text()):
        printed = io.StringIO()
        if block.is_run:
            with contextlib.redirect_stdout(printed):
                if block.kind == "python":
                    # so that a traceback has the line of the page
                    source = "\n" * (block.line - 1) + block.text
                    exec(compile(source, str(path), "exec"), names)
                else:
                    for program, *arguments in commands(block):
                        status = main([*expanded(arguments), "--quiet"]) if program == "deblend" else 127
                        if status:
                            raise SystemExit(f"{path.name}, line {block.line}: {program} ended with {status}.")
        done.append((block, printed.getvalue()))
    return done


def written(page: str, done: list[tuple[Block, str]]) -> str:
    """Return the page with the output of every block in the `text` block that follows it."""
    result, end = "", 0
    for (block, printed), (after, _) in pairwise(done):
        if block.is_run and after.kind == "text":
            result += page[end : after.start] + printed.rstrip() + "\n"
            end = after.start + len(after.text)
    return result + page[end:]


def main() -> None:
    parser = argparse.ArgumentParser(description="Run what the tutorials show.")
    parser.add_argument(
        "pages", nargs="*", type=Path, metavar="PAGE", help="files (default: all that have code to run)"
    )
    parser.add_argument("--write", action="store_true", help="write outputs and pictures into the documentation")
    arguments = parser.parse_args()
    for path in arguments.pages or pages():
        path = path.resolve()
        start = time.process_time()
        with workplace() as folder:
            done = run(path)
            if arguments.write:
                path.write_text(written(path.read_text(), done))
                IMAGES.mkdir(parents=True, exist_ok=True)
                for picture in folder.glob("*.png"):
                    shutil.copy(picture, IMAGES / picture.name)
        print(f"{path.name}: all of it runs, {time.process_time() - start:.0f} CPU seconds", file=sys.stderr)


if __name__ == "__main__":
    main()
