# SPDX-License-Identifier: Apache-2.0
"""A page in Chromium, driven by Selenium, and what its tests share.

Needs chromium, chromedriver and Selenium (Debian: chromium, chromium-driver, python3-selenium);
main() exits with 77 where one is missing, with --required with 1.
"""

import json
import os
import pathlib
import shutil
import sys
import tempfile
import unittest

try:
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.common.action_chains import ActionChains
    from selenium.webdriver.common.by import By
    from selenium.webdriver.common.keys import Keys
    from selenium.webdriver.support.ui import WebDriverWait
except ImportError:
    webdriver = ActionChains = By = Keys = None

WAIT = 120  # seconds until what should happen counts as not happening


def find_browser():
    names = "chromium", "chromium-browser", "google-chrome"
    return next(filter(None, map(shutil.which, names)), None)


def start_browser():
    options = webdriver.ChromeOptions()
    options.binary_location = find_browser()
    options.add_argument("--headless=new")
    options.add_argument("--disable-dev-shm-usage")
    if os.geteuid() == 0:
        options.add_argument("--no-sandbox")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    driver = webdriver.Chrome(service=Service(shutil.which("chromedriver")), options=options)
    driver.set_script_timeout(WAIT)
    return driver


class BrowserCase(unittest.TestCase):
    """A test of pages that make_pages() has put into a folder."""

    @classmethod
    def make_pages(cls, folder):
        raise NotImplementedError

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.make_pages(pathlib.Path(cls.folder.name))
        cls.driver = start_browser()

    @classmethod
    def tearDownClass(cls):
        cls.driver.quit()
        cls.folder.cleanup()

    def setUp(self):
        self.resize(1280, 900)
        self.emulate()

    def tearDown(self):
        """No test leaves a message on the console, or has asked for anything but files."""
        self.assertEqual(self.driver.get_log("browser"), [])
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                self.assertRegex(message["params"]["request"]["url"], "^(file|data):")

    def resize(self, width, height):
        metrics = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)

    def emulate(self, scheme="light", motion="no-preference"):
        features = [
            {"name": "prefers-color-scheme", "value": scheme},
            {"name": "prefers-reduced-motion", "value": motion},
        ]
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})

    def open(self, name, head=""):
        self.driver.get("about:blank")
        self.driver.get((pathlib.Path(self.folder.name) / f"{name}.html").as_uri() + head)

    def run_script(self, script):
        return self.driver.execute_script(script)

    def until(self, script):
        """Waits until an expression of the page is true."""
        wait = WebDriverWait(self.driver, WAIT, poll_frequency=0.05)
        wait.until(lambda driver: driver.execute_script(f"return {script}"), script)

    def find(self, selector):
        return self.driver.find_element(By.CSS_SELECTOR, selector)

    def texts(self, selector):
        """The texts of all elements that match, as they are in the document."""
        return self.run_script(
            f"return [...document.querySelectorAll({json.dumps(selector)})].map(e => e.textContent)"
        )

    def press(self, *keys):
        ActionChains(self.driver).send_keys(*keys).perform()

    def hover(self, element):
        ActionChains(self.driver, duration=0).move_to_element(element).perform()

    def word(self, side, name):
        words = self.driver.find_elements(By.CSS_SELECTOR, f".{side} .word")
        return next(w for w in words if w.find_element(By.CSS_SELECTOR, ".name").text == name)

    def focused(self):
        return self.run_script("return document.activeElement.getAttribute('aria-label')")


def main():
    required = "--required" in sys.argv
    missing = [
        name
        for name, found in (
            ("Selenium", webdriver),
            ("chromium", find_browser()),
            ("chromedriver", shutil.which("chromedriver")),
        )
        if not found
    ]
    if missing:
        print("missing:", ", ".join(missing))
        sys.exit(1 if required else 77)
    unittest.main(argv=[sys.argv[0]])
