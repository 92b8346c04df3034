"""Headless Chromium, driven by its DevTools protocol over two pipes, without a driver program."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

__all__ = ["CHROMIUM", "Browser", "Page", "open_browser", "open_page"]

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
_TIMEOUT_S = 30.0
_KEY_CODES = {
    "Tab": 9,
    "Enter": 13,
    "Escape": 27,
    " ": 32,
    "PageUp": 33,
    "PageDown": 34,
    "End": 35,
    "Home": 36,
    "ArrowLeft": 37,
    "ArrowUp": 38,
    "ArrowRight": 39,
    "ArrowDown": 40,
}


class Browser:
    """A browser, with the two pipes of its protocol."""

    def __init__(self, requests: int, answers: int) -> None:
        self._requests, self._answers = requests, answers
        self._buffer = b""
        self._number = 0

    @contextmanager
    def new_page(self) -> Iterator[Page]:
        """Yield a page without cookies, storage and cache of other pages. Then close it."""
        context = str(self.call("Target.createBrowserContext")["browserContextId"])
        try:
            yield Page(self, context)
        finally:
            self.call("Target.disposeBrowserContext", browserContextId=context)

    def call(
        self,
        method: str,
        session: str | None = None,
        record: Callable[[dict[str, Any]], None] | None = None,
        **parameters: Any,
    ) -> dict[str, Any]:
        """Call a method of the protocol, and return its answer.

        Args:
            method: Name of the method.
            session: Session of a page; without one, the method is the browser's.
            record: Called with each event of the session that arrives before the answer.
            parameters: Parameters of the method.
        """
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if session is not None:
            message["sessionId"] = session
        os.write(self._requests, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result
            if record is not None and answer.get("sessionId") == session:
                record(answer)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], _TIMEOUT_S)
            assert ready, "the browser does not answer"
            data = os.read(self._answers, 1 << 20)
            assert data, "the browser has ended"
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(line)
        return answer


class Page:
    """A page in a browser.

    Attributes:
        requests: URLs that the page requested, without its own file and without data URIs.
        messages: Messages in the console, errors included.
    """

    def __init__(self, browser: Browser, context: str) -> None:
        self._browser, self._context = browser, context
        self._session: str | None = None
        self.requests: list[str] = []
        self.messages: list[str] = []

    def open(
        self, page: Path | str, width: int = 1280, height: int = 900, dark: bool = False
    ) -> None:
        """Open a file or a URL, and wait until its scripts have drawn everything."""
        target = self._browser.call(
            "Target.createTarget", url="about:blank", browserContextId=self._context
        )["targetId"]
        attached = self._browser.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        self.resize(width, height)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Page.navigate", url=page if isinstance(page, str) else page.as_uri())
        self.wait_for("document.documentElement?.dataset.ready")

    def resize(self, width: int, height: int) -> None:
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)

    def evaluate(self, expression: str) -> Any:
        """Return the value of an expression in the page."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str) -> None:
        """Wait until an expression is true in the page."""
        end = time.monotonic() + _TIMEOUT_S
        while not self.evaluate(f"Boolean({expression})"):
            assert time.monotonic() < end, f"still not true: {expression}"
            time.sleep(0.05)

    def click(self, selector: str) -> None:
        """Click on the middle of an element with the mouse."""
        x, y = self.evaluate(
            f"(() => {{ const node = document.querySelector({json.dumps(selector)});"
            " node.scrollIntoView({block: 'center', behavior: 'instant'});"
            " const box = node.getBoundingClientRect();"
            " return [box.x + box.width / 2, box.y + box.height / 2]; })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            where = {"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
            self.call("Input.dispatchMouseEvent", **where)

    def type(self, text: str) -> None:
        """Type into the element that has the focus."""
        self.call("Input.insertText", text=text)

    def press(self, key: str) -> None:
        """Press a key such as `Tab`, `Enter` or `ArrowLeft`."""
        code = _KEY_CODES[key]
        text = {"text": "\r"} if key == "Enter" else {}
        self.call(
            "Input.dispatchKeyEvent", type="keyDown", key=key, windowsVirtualKeyCode=code, **text
        )
        self.call("Input.dispatchKeyEvent", type="keyUp", key=key, windowsVirtualKeyCode=code)

    def screenshot(self, path: Path, max_height: int = 8000) -> None:
        """Write a picture of the page, from its top."""
        width, height = self.evaluate("[innerWidth, document.documentElement.scrollHeight]")
        self.resize(width, min(height, max_height))
        time.sleep(0.3)  # charts are drawn in the next frame
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol, and return its answer. Events are recorded meanwhile."""
        return self._browser.call(method, self._session, self._record, **parameters)

    def _record(self, event: dict[str, Any]) -> None:
        parameters = event.get("params", {})
        if event.get("method") == "Network.requestWillBeSent":
            url = parameters["request"]["url"]
            if not url.startswith("data:") and url != parameters["documentURL"]:
                self.requests.append(url)
        elif event.get("method") == "Runtime.consoleAPICalled":
            self.messages.append(str([item.get("value") for item in parameters["args"]]))
        elif event.get("method") == "Log.entryAdded":
            self.messages.append(parameters["entry"]["text"])
        elif event.get("method") == "Runtime.exceptionThrown":
            self.messages.append(json.dumps(parameters["exceptionDetails"]))


@contextmanager
def open_page(folder: Path) -> Iterator[Page]:
    """Start a browser whose profile is in a folder, and yield a page. Then end it."""
    with open_browser(folder) as browser, browser.new_page() as page:
        yield page


@contextmanager
def open_browser(folder: Path) -> Iterator[Browser]:
    """Start a browser whose profile is in a folder. Then end it."""
    assert CHROMIUM is not None
    (child_in, our_out), (our_in, child_out) = os.pipe(), os.pipe()

    def use_pipes() -> None:
        # The protocol's pipes are descriptors 3 and 4.
        high_in, high_out = os.dup(child_in), os.dup(child_out)
        os.dup2(high_in, 3)
        os.dup2(high_out, 4)

    process = subprocess.Popen(
        [
            CHROMIUM,
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--hide-scrollbars",
            f"--user-data-dir={folder / 'browser'}",
            "--remote-debugging-pipe",
        ],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=use_pipes,
        close_fds=False,
    )
    os.close(child_in)
    os.close(child_out)
    try:
        yield Browser(our_out, our_in)
    finally:
        process.terminate()
        process.wait(30)
        os.close(our_out)
        os.close(our_in)
