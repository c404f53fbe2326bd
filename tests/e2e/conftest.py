"""A real browser: Debian's Chromium, without a window and without a network."""

import shutil

import pytest

BROWSER = shutil.which("chromium")
DRIVER = shutil.which("chromedriver")


class Page:
    """A page in the browser."""

    def __init__(self, driver):
        self.driver = driver

    def run(self, script, *arguments):
        """What a script returns."""
        return self.driver.execute_script(script, *arguments)

    def wait(self, script):
        """The script's value as soon as it is true."""
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, 10).until(lambda driver: driver.execute_script(script))

    def column(self, field):
        """What one column of the table shows, row by row."""
        cells = "document.querySelectorAll(`#grid .tabulator-cell[tabulator-field='${arguments[0]}']`)"
        return self.run(f"return [...{cells}].map(cell => cell.innerText.trim())", field)

    def click(self, selector):
        self.run("document.querySelector(arguments[0]).click()", selector)


@pytest.fixture(scope="module")
def browser():
    webdriver = pytest.importorskip("selenium.webdriver", reason="selenium drives the browser: pip install selenium")
    from selenium.webdriver.chrome.service import Service

    if BROWSER is None or DRIVER is None:
        pytest.skip("no browser: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = BROWSER
    # CI runs as root in a container with a small /dev/shm; a page may only start sound by itself where nobody listens.
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "mute-audio"):
        options.add_argument(f"--{argument}")
    options.add_argument("--autoplay-policy=no-user-gesture-required")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    # The driver's path is given, so that selenium downloads none.
    driver = webdriver.Chrome(options=options, service=Service(executable_path=DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


@pytest.fixture
def show(browser):
    """Opens a page at a width and in a colour scheme; at the end of the test nothing may have gone wrong in it."""

    def opened(path, width=1200, scheme="light"):
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})
        browser.get(path.as_uri())
        page = Page(browser)
        page.wait("return document.querySelectorAll('#grid .tabulator-row').length")
        return page

    for kind in ("browser", "performance"):
        browser.get_log(kind)
    yield opened
    assert browser.get_log("browser") == []
