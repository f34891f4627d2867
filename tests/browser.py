"""A real browser, driven by its own driver: headless Chromium, which reaches nothing but this machine."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import pytest

T = TypeVar("T")

PATIENCE = 90.0
"""Seconds that a page may take on a loaded machine."""

FLAGS = (
    *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--window-size=1500,1000"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--hide-scrollbars"),
)


class Browser:
    """What a test does with a page."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, address: str, *texts: str) -> None:
        """Opens an address, and waits until the page shows these texts."""
        self.driver.get("about:blank")  # an address that differs behind its # alone would not be loaded anew
        self.driver.get(address)
        self.shows(*texts)

    def shows(self, *texts: str) -> None:
        """Waits until the page shows these texts."""
        for text in texts:
            self.until(lambda text=text: text in self.text, f"{text!r} on {self.driver.current_url}: {self.text}")  # type: ignore[misc]

    @property
    def text(self) -> str:
        """What the page shows, as far as it is text."""
        return str(self.driver.execute_script("return document.body ? document.body.innerText : ''"))

    def click(self, text: str, tag: str = "*") -> None:
        """Clicks the first element, once it is there, whose own text is this."""
        self.click_path(f"//{tag}[normalize-space(text())='{text}']")

    def click_path(self, path: str) -> None:
        """Clicks the first element of an XPath, once it is there."""
        found = self.until(lambda: self.driver.find_elements("xpath", path), f"{path} to click on: {self.text}")
        self.driver.execute_script("arguments[0].click()", found[0])

    def find(self, selector: str, least: int = 1) -> list[Any]:
        """At least so many elements of a CSS selector, once they are there."""
        missing = f"{least} of {selector} on {self.driver.current_url}"
        return self.until(
            lambda: found if len(found := self.driver.find_elements("css selector", selector)) >= least else None,
            missing,
        )

    def picture(self, name: str) -> None:
        """Leaves a picture of the page in the folder that SWEEP_PICTURES names, if it does."""
        if folder := os.environ.get("SWEEP_PICTURES"):
            time.sleep(1.5)  # for what is still moving
            self.driver.save_screenshot(str(Path(folder, f"{name}.png")))

    @staticmethod
    def until(look: Callable[[], T | None], missing: str) -> T:
        """What `look` gives, once that is something."""
        deadline = time.monotonic() + PATIENCE
        while not (found := look()):
            assert time.monotonic() < deadline, f"never saw {missing}"
            time.sleep(0.2)
        return found


@contextmanager
def browser() -> Iterator[Browser]:
    """A browser with a profile of its own, for the length of a `with` block."""
    chromium, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if not (chromium and driver):
        if os.environ.get("SWEEP_REQUIRE_SERVICES"):
            pytest.fail("chromium and chromedriver are not installed, and SWEEP_REQUIRE_SERVICES wants them")
        pytest.skip("chromium and chromedriver are not installed")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    with TemporaryDirectory() as profile:
        for flag in (*FLAGS, f"--user-data-dir={profile}"):
            options.add_argument(flag)
        opened = webdriver.Chrome(options=options, service=Service(driver))
        opened.set_script_timeout(PATIENCE)
        try:
            yield Browser(opened)
        finally:
            opened.quit()
