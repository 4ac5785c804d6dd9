"""A headless browser that a test drives as a person would: real clicks and keys, by Chromium's DevTools protocol."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-headless-shell", "chromium-browser", "google-chrome", "chrome")
PATIENCE = 60.0
"""[s]"""


class Page:
    """A page that is open."""

    def __init__(self, loop: asyncio.AbstractEventLoop, socket: Any) -> None:
        self._loop, self._socket, self._number = loop, socket, 0
        self.faults: list[str] = []
        """What went wrong in the page, and what it asked for from elsewhere."""

    def tell(self, method: str, **parameters: Any) -> Any:
        """Send a command, and return what comes back."""
        self._number += 1
        command = json.dumps({"id": self._number, "method": method, "params": parameters})
        return self._loop.run_until_complete(asyncio.wait_for(self._answer(command, self._number), PATIENCE))

    async def _answer(self, command: str, number: int) -> Any:
        await self._socket.write_message(command)
        while True:
            said = json.loads(await self._socket.read_message())
            if said.get("method") == "Runtime.exceptionThrown":
                self.faults.append(json.dumps(said["params"]["exceptionDetails"])[:500])
            if said.get("method") == "Network.requestWillBeSent":
                url = said["params"]["request"]["url"]
                if not url.startswith(("file:", "data:")):
                    self.faults.append(f"asked for {url}")
            if said.get("id") == number:
                assert "error" not in said, said
                return said["result"]

    def value(self, expression: str) -> Any:
        """Return what an expression of JavaScript is."""
        result = self.tell("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def click(self, selector: str, at: tuple[float, float] = (0.5, 0.5)) -> None:
        """Click on an element with the mouse, at a part of its width and height."""
        found = f"document.querySelector({json.dumps(selector)})"
        self.value(f"{found}.scrollIntoView({{block: 'center'}})")
        box = self.value(f"(b => [b.x, b.y, b.width, b.height])({found}.getBoundingClientRect())")
        x, y = box[0] + at[0] * box[2], box[1] + at[1] * box[3]
        self.tell("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
        for kind in ("mousePressed", "mouseReleased"):
            self.tell("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def write(self, selector: str, text: str) -> None:
        """Put text into a field, and leave it with the key Enter."""
        self.click(selector)
        self.tell("Input.insertText", text=text)
        for kind in ("keyDown", "keyUp"):
            self.tell(
                "Input.dispatchKeyEvent", type=kind, key="Enter", code="Enter", text="\r", windowsVirtualKeyCode=13
            )

    def screenshot(self) -> bytes:
        """Return the page as it looks, as PNG."""
        return base64.b64decode(self.tell("Page.captureScreenshot")["data"])


@contextmanager
def opened(page: Path, folder: Path, width: int = 1280, height: int = 1000) -> Iterator[Page]:
    """Open a file in a browser that keeps what it needs in a folder; skips where there is no browser."""
    program = next((found for name in NAMES if (found := shutil.which(name))), None)
    if program is None:
        pytest.skip(f"no browser is installed (one of {', '.join(NAMES)}; Debian: apt-get install chromium)")
    websocket = pytest.importorskip("tornado.websocket", reason="tornado is missing, which comes with distributed")
    client = pytest.importorskip("tornado.httpclient")
    options = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", f"--window-size={width},{height}"]
    options += ["--remote-debugging-port=0", f"--user-data-dir={folder}", "--no-first-run", "--disable-extensions"]
    # of its own group: what is called may be a script that starts the browser
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    process = subprocess.Popen([program, *options, page.as_uri()], **quiet)
    loop = asyncio.new_event_loop()
    try:
        where, end = folder / "DevToolsActivePort", time.monotonic() + PATIENCE
        while not where.is_file() or not where.read_text().strip():
            assert process.poll() is None and time.monotonic() < end, "the browser does not start"
            time.sleep(0.05)
        port = where.read_text().split()[0]

        async def connected() -> Any:
            listed = await client.AsyncHTTPClient().fetch(f"http://127.0.0.1:{port}/json")
            (target,) = [each for each in json.loads(listed.body) if each["type"] == "page"]
            return await websocket.websocket_connect(target["webSocketDebuggerUrl"], max_message_size=1 << 28)

        made = Page(loop, loop.run_until_complete(connected()))
        for domain in ("Runtime", "Network", "Page"):
            made.tell(f"{domain}.enable")
        # again, now that faults are listened for
        made.tell("Page.reload")
        while made.value("document.readyState") != "complete":
            assert time.monotonic() < end, "the page does not load"
            time.sleep(0.05)
        yield made
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        loop.close()
