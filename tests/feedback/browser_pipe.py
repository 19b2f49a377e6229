"""A headless Chromium driven through its debugging pipe: no port, no package, only files and JSON."""

import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome", "chrome") if (path := shutil.which(name))), None
)

FLAGS = (
    "--headless --no-sandbox --disable-gpu --hide-scrollbars --no-first-run --disable-background-networking"
    " --disable-component-update --disable-sync --disable-quic --disable-extensions --remote-debugging-pipe"
)

# Keys that are no characters: their code and what they type.
NAMED = {"Enter": ("Enter", 13, "\r"), "Tab": ("Tab", 9, "")}


class Tab:
    """One tab: go somewhere, press keys, ask for values."""

    def __init__(self, profile: Path) -> None:
        there, self._write = os.pipe()
        self._read, back = os.pipe()
        self._process = subprocess.Popen(
            [str(CHROMIUM), *FLAGS.split(), f"--user-data-dir={profile}"],
            # Chromium reads commands from descriptor 3 and answers on 4.
            preexec_fn=lambda: (os.dup2(there, 13), os.dup2(back, 14), os.dup2(13, 3), os.dup2(14, 4)),
            close_fds=False,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(there)
        os.close(back)
        self._number, self._buffer, self.events = 0, b"", list[dict[str, Any]]()
        target = self._ask("Target.createTarget", {"url": "about:blank"}, "")["targetId"]
        self._session = ""
        self._session = self._ask("Target.attachToTarget", {"targetId": target, "flatten": True}, "")["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")

    def __enter__(self) -> "Tab":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._write)
        self._process.terminate()
        self._process.wait(20)
        os.close(self._read)

    def ask(self, method: str, **facts: Any) -> dict[str, Any]:
        """One command of the DevTools protocol and its result."""
        return self._ask(method, facts, self._session)

    def _ask(self, method: str, facts: dict[str, Any], session: str) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": facts} | ({"sessionId": session} if session else {})
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            found = self._message()
            if found.get("id") == self._number:
                assert "error" not in found, (method, found)
                return dict(found["result"])
            self.events.append(found)

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            self._buffer += os.read(self._read, 1 << 20)
        message, _, self._buffer = self._buffer.partition(b"\0")
        return dict(json.loads(message))

    def value(self, expression: str) -> Any:
        """The value of a JavaScript expression in the page."""
        found = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 20.0) -> None:
        """Wait until an expression is true; between two pages there is nothing to ask."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = self.ask("Runtime.evaluate", expression=f"!!({expression})", returnByValue=True)
            if found["result"].get("value"):
                return
            time.sleep(0.02)
        raise AssertionError(f"never true: {expression}; the page says {self.value('document.body.innerText')!r}")

    @contextmanager
    def new_page(self) -> Iterator[None]:
        """Wait until what is done in the ``with`` block has brought another page."""
        self.value("window.old = true")
        yield
        self.wait_for("!window.old && document.readyState === 'complete'")

    def open(self, address: str) -> None:
        """Go to an address and wait for its page."""
        with self.new_page():
            self.ask("Page.navigate", url=address)

    def press(self, keys: str) -> None:
        """Press keys one after another, as a keyboard with Latin letters would: ``a5`` or, by name, ``Enter``."""
        for key in [keys] if keys in NAMED else keys:
            code, number, text = NAMED.get(key) or (
                f"Digit{key}" if key.isdigit() else f"Key{key.upper()}",
                ord(key.upper()),
                key,
            )
            facts = {"key": key, "code": code, "windowsVirtualKeyCode": number}
            self.ask("Input.dispatchKeyEvent", type="keyDown", text=text, **facts)
            self.ask("Input.dispatchKeyEvent", type="keyUp", **facts)

    def type(self, text: str) -> None:
        """Put text into what has the focus."""
        self.ask("Input.insertText", text=text)

    def resize(self, width: int, height: int = 900) -> None:
        """Show the page at a width."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def complaints(self) -> list[str]:
        """What the browser wrote to its console and log, errors and violations of the policy included."""
        entries = [event["params"]["entry"]["text"] for event in self.events if event["method"] == "Log.entryAdded"]
        thrown = [str(event["params"]) for event in self.events if event["method"] == "Runtime.exceptionThrown"]
        return entries + thrown

    def requests(self) -> list[str]:
        """Addresses that were asked for."""
        sent = [event["params"] for event in self.events if event["method"] == "Network.requestWillBeSent"]
        return [params["request"]["url"] for params in sent]

    def picture(self, path: Path) -> None:
        """The whole page as a PNG file."""
        import base64

        size = self.ask("Page.getLayoutMetrics")["cssContentSize"]
        shot = self.ask("Page.captureScreenshot", captureBeyondViewport=True, clip={**size, "x": 0, "y": 0, "scale": 1})
        path.write_bytes(base64.b64decode(shot["data"]))
