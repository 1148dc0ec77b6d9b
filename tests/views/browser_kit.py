"""Debian's headless Chromium, driven by its own driver: what a page shows, asks for and complains about."""

from __future__ import annotations

import base64
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import axe_core_python  # type: ignore[import-not-found, import-untyped, unused-ignore]
import pytest
from selenium import webdriver
from selenium.webdriver.chrome.service import Service

PATIENCE = 30.0
ARTEFACTS = "METIS_FLOW_SCREENSHOTS"
"""The variable that names the folder where screenshots are kept."""
_SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)


@dataclass
class Browser:
    """One window.

    Attributes:
        driver: selenium's.
        shots: where screenshots are kept.
    """

    driver: webdriver.Chrome
    shots: Path

    def open(self, address: str | Path, *, width: int = 1280, dark: bool = False) -> None:
        """Open a page anew, in a window of this width, and wait until it is ready."""
        self.look(width=width, dark=dark)
        self.driver.get("about:blank")
        self.problems()
        self.requests()
        self.driver.get(address.as_uri() if isinstance(address, Path) else address)
        self.wait(lambda: self.js("return document.body.dataset.ready === 'yes'"), "the page is ready")

    def look(self, *, width: int, dark: bool = False, height: int = 900) -> None:
        """Set the window's size and whether pages are asked to be dark."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def js(self, code: str, *values: Any) -> Any:
        """What a script returns."""
        return self.driver.execute_script(code, *values)

    def wait(self, true: Callable[[], Any], what: str) -> Any:
        """Wait until something is true, and give it."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            found = true()
            if found:
                return found
            time.sleep(0.02)
        raise TimeoutError(f"waited in vain until {what}")

    def texts(self, selector: str) -> list[str]:
        """The text of each element that matches, also where it is not in sight."""
        found: list[str] = self.js(
            "return [...document.querySelectorAll(arguments[0])].map((x) => x.textContent)", selector
        )
        return found

    def click(self, selector: str) -> None:
        """Click the first element that matches."""
        event = "new MouseEvent('click', {bubbles: true, cancelable: true})"
        self.js(f"document.querySelector(arguments[0]).dispatchEvent({event})", selector)

    def type_into(self, selector: str, text: str) -> None:
        """Put a text into a field, as typing does."""
        find = "const field = document.querySelector(arguments[0]); field.value = arguments[1];"
        self.js(f"{find} field.dispatchEvent(new Event('input'))", selector, text)

    def press(self, *keys: str) -> None:
        """Press keys where the focus is."""
        from selenium.webdriver import ActionChains, Keys

        for key in keys:
            ActionChains(self.driver).send_keys(getattr(Keys, key)).perform()

    def problems(self) -> list[str]:
        """What the console complained about since the last question."""
        return [entry["message"] for entry in self.driver.get_log("browser")]  # type: ignore[no-untyped-call]

    def requests(self) -> list[str]:
        """The addresses that were asked for since the last question, those that are part of a page left out."""
        found = []
        for entry in self.driver.get_log("performance"):  # type: ignore[no-untyped-call]
            event = json.loads(entry["message"])["message"]
            if event["method"] == "Network.requestWillBeSent":
                found.append(event["params"]["request"]["url"])
        return [url for url in found if not url.startswith(("data:", "blob:", "about:"))]

    def violations(self) -> list[str]:
        """What axe-core finds against the accessibility of the page as it is."""
        script = Path(axe_core_python.__file__).parent / "axe.min.js"
        self.driver.execute_cdp_cmd("Page.setBypassCSP", {"enabled": True})
        self.js(script.read_text(encoding="utf-8"))
        code = (
            "const done = arguments[arguments.length - 1];"
            "const rules = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'];"
            "axe.run(document, {runOnly: rules}).then(done, done);"
        )
        result = self.driver.execute_async_script(code)
        return [
            f"{found['id']}: {node['html'][:160]}: {node['failureSummary']}"
            for found in result["violations"]
            for node in found["nodes"]
        ]

    def shot(self, name: str) -> Path:
        """Keep a picture of the whole page, or of what is in sight where a dialog is open."""
        height, width = self.js("return [document.documentElement.scrollHeight, innerWidth]")
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, 12000), "scale": 1}
        whole = not self.js("return Boolean(document.querySelector('dialog[open]'))")
        options = {"captureBeyondViewport": True, "clip": clip} if whole else {}
        data = self.driver.execute_cdp_cmd("Page.captureScreenshot", options)["data"]
        path = self.shots / f"{name}.png"
        path.write_bytes(base64.b64decode(data))
        return path


@contextmanager
def open_browser(places: pytest.TempPathFactory) -> Iterator[Browser]:
    """A browser for the length of the block."""
    chromium, driver_file = shutil.which("chromium"), shutil.which("chromedriver")
    if chromium is None or driver_file is None:
        if os.environ.get("CI"):
            raise FileNotFoundError("chromium and chromedriver are not installed")
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for switch in _SWITCHES:
        options.add_argument(switch)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    shots = Path(os.environ.get(ARTEFACTS) or places.mktemp("screenshots"))
    shots.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:
        options.add_argument(f"--user-data-dir={profile}")
        driver = webdriver.Chrome(options=options, service=Service(driver_file))
        try:
            driver.set_script_timeout(PATIENCE)
            yield Browser(driver, shots)
        finally:
            driver.quit()
