"""A headless Chromium driven over the W3C WebDriver protocol by its chromedriver: as much of it as the tests use."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from services.common.ports import free_port


def available() -> bool:
    """Whether chromium and chromedriver are installed (Debian: chromium, chromium-driver)."""
    return bool(shutil.which("chromium") and shutil.which("chromedriver"))


class Browser:
    """One window."""

    def __init__(self, http: httpx.Client, session: str) -> None:
        self._http = http
        self._session = session

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        answer = self._http.request(method, f"/session/{self._session}{path}", json=body)
        value = answer.json()["value"]
        if answer.status_code != 200:
            raise AssertionError(f"{method} {path}: {value['error']}: {value['message']}")
        return value

    def open(self, url: str) -> None:
        """Load a page anew, also where only the part after # differs."""
        self._call("POST", "/url", {"url": "about:blank"})
        self._call("POST", "/url", {"url": url})

    def run(self, script: str, *args: Any) -> Any:
        """Run the body of a function in the page; returns what it returns."""
        return self._call("POST", "/execute/sync", {"script": script, "args": list(args)})

    def run_async(self, script: str, *args: Any) -> Any:
        """Run a function's body whose last argument is called with the result."""
        return self._call("POST", "/execute/async", {"script": script, "args": list(args)})

    def cdp(self, command: str, **params: Any) -> Any:
        """A command of the DevTools protocol."""
        return self._call("POST", "/goog/cdp/execute", {"cmd": command, "params": params})

    def size(self, width: int, height: int) -> None:
        """Set the size of the page in CSS pixels."""
        self.cdp(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def press(self, *keys: str) -> None:
        """Press and release keys, one after the other."""
        actions = [{"type": kind, "value": key} for key in keys for kind in ("keyDown", "keyUp")]
        self._call("POST", "/actions", {"actions": [{"type": "key", "id": "keyboard", "actions": actions}]})

    def errors(self) -> list[str]:
        """What the browser complained of since the last time: script errors, refused content, failed loads."""
        entries = self._call("POST", "/se/log", {"type": "browser"})
        return [e["message"] for e in entries if e["level"] == "SEVERE"]

    def until(self, script: str, *args: Any, timeout_s: float = 20.0) -> Any:
        """Wait for a function's body to return something true; returns it."""
        deadline = time.monotonic() + timeout_s
        while True:
            value = self.run(script, *args)
            if value:
                return value
            if time.monotonic() > deadline:
                text = self.run("return document.body.innerText.slice(0, 800)")
                raise AssertionError(f"not within {timeout_s} s: {script}; the page says:\n{text}")
            time.sleep(0.05)


@contextlib.contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Start Chromium with an empty profile; ends it with everything it started."""
    port = free_port()
    driver = subprocess.Popen(
        ["chromedriver", f"--port={port}", "--log-level=SEVERE"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False) as http:
            session = _session(http, profile)
            try:
                yield Browser(http, session)
            finally:
                http.delete(f"/session/{session}")
    finally:
        driver.terminate()
        driver.wait(10)


def _session(http: httpx.Client, profile: Path) -> str:
    arguments = [
        "--headless=new",
        "--no-sandbox",  # tests may run as root in a container, where Chromium's sandbox refuses to start
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
        "--window-size=1920,1080",
        "--lang=en-GB",
        f"--user-data-dir={profile}",
    ]
    wanted = {
        "browserName": "chrome",
        "goog:chromeOptions": {"args": arguments, "binary": shutil.which("chromium")},
        "goog:loggingPrefs": {"browser": "ALL"},
    }
    deadline = time.monotonic() + 30
    while True:
        try:
            answer = http.post("/session", json={"capabilities": {"alwaysMatch": wanted}})
            break
        except httpx.ConnectError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
    value = answer.json()["value"]
    if answer.status_code != 200:
        raise AssertionError(f"chromedriver: {value['message']}")
    return str(value["sessionId"])
