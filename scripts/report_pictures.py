"""Takes the README's pictures of a report: ``python scripts/report_pictures.py``.

Runs a demo checkpoint over the demo clips, compares, measures, writes the report, and photographs it in Chromium. It
needs the ``reference`` extra, the ``dev`` group, and ``apt-get install chromium chromium-driver``. Whatever is missing,
whatever the browser complains about, and a picture that is too large is an error, and no picture is replaced.
"""

import argparse
import base64
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).resolve().parent.parent
CLIPS: Final = ROOT / "examples" / "speech" / "clips" / "demo-clean"
CHECKPOINT: Final = ROOT / "examples" / "speech" / "wav2vec2"
RUN: Final = "wav2vec2-run"
"""Relative, as the pictures show it."""

LARGEST: Final = 250_000
"""Bytes of a picture."""

WIDTH: Final = 1080
MARGIN: Final = 24
FIGURES: Final = {"accuracy", "ledger", "throughput", "latency", "stages", "lengths"}


@dataclass(frozen=True)
class Picture:
    """A part of the page.

    Attributes:
        name: File in the pictures' folder.
        first: CSS selector of the element it begins with; empty for the top of the page.
        last: Of the element it ends with.
    """

    name: str
    first: str
    last: str


PICTURES: Final = (
    Picture("report.png", "", "figure[data-chart=ledger]"),
    Picture("report-samples.png", "#samples", "#grid .tabulator-row:nth-of-type(10)"),
)


def write_report(folder: Path) -> Path:
    """Run, compare, measure and report, by the commands that a user types.

    Args:
        folder: Where the run is written.

    Returns:
        The page.
    """
    checkpoint, data = ("--checkpoint", str(CHECKPOINT)), ("--data", str(CLIPS))
    measured = ("--batch-sizes", "1,4,8", "--baseline", "recipe")
    for command in (
        ("run", "wav2vec2", *checkpoint, *data, "--output", RUN),
        ("compare", f"{RUN}/bundle", *checkpoint, *data, "--output", RUN),
        ("bench", f"{RUN}/bundle", *data, *measured, "--output", RUN),
        ("report", RUN),
    ):
        subprocess.run([sys.executable, "-m", "inferry", *command], cwd=folder, check=True)
    return folder / RUN / "report.html"


def open_page(page: Path) -> Any:  # noqa: ANN401 -- selenium has no types
    """The page in a browser without a window.

    Args:
        page: The report.

    Returns:
        Selenium's driver, for the caller to quit.
    """
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service
    from selenium.webdriver.support.ui import WebDriverWait

    browser, driver = shutil.which("chromium"), shutil.which("chromedriver")
    if browser is None or driver is None:
        raise SystemExit("no browser: apt-get install chromium chromium-driver")
    options = webdriver.ChromeOptions()
    options.binary_location = browser
    for argument in ("headless=new", "no-sandbox", "disable-dev-shm-usage", "hide-scrollbars"):
        options.add_argument(f"--{argument}")
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    opened = webdriver.Chrome(options=options, service=Service(executable_path=driver))
    size = {"width": WIDTH, "height": 900, "deviceScaleFactor": 1, "mobile": False}
    opened.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    light = {"features": [{"name": "prefers-color-scheme", "value": "light"}]}
    opened.execute_cdp_cmd("Emulation.setEmulatedMedia", light)
    opened.get(page.as_uri())
    ready = (
        "return document.querySelectorAll('#grid .tabulator-row').length > 9"
        " && [...document.querySelectorAll('audio')].every(audio => audio.readyState > 0)"
    )
    WebDriverWait(opened, 20).until(lambda one: one.execute_script(ready))
    return opened


def photograph(browser: Any, picture: Picture) -> bytes:  # noqa: ANN401 -- selenium has no types
    """One part of the page as PNG.

    Args:
        browser: With the page open.
        picture: The part.
    """
    edge = "return document.querySelector(arguments[0]).getBoundingClientRect()[arguments[1]] + scrollY"
    top = max(0, browser.execute_script(edge, picture.first, "top") - 1) if picture.first else 0
    bottom = browser.execute_script(edge, picture.last, "bottom") + (0 if picture.first else MARGIN)
    clip = {"x": 0, "y": top, "width": WIDTH, "height": bottom - top, "scale": 1}
    shot = browser.execute_cdp_cmd("Page.captureScreenshot", {"captureBeyondViewport": True, "clip": clip})
    content = base64.b64decode(shot["data"])
    if len(content) >= LARGEST:
        raise SystemExit(f"{picture.name} would have {len(content):,} bytes, {LARGEST:,} are too many")
    return content


def take_pictures(page: Path) -> dict[str, bytes]:
    """All pictures by name.

    Args:
        page: The report.
    """
    browser = open_page(page)
    try:
        script = "return [...document.querySelectorAll('figure[data-chart]:has(svg)')].map(one => one.dataset.chart)"
        missing = FIGURES - set(browser.execute_script(script))
        if missing:
            raise SystemExit(f"the report lacks its figures {', '.join(sorted(missing))}")
        made = {picture.name: photograph(browser, picture) for picture in PICTURES}
        complaints = browser.get_log("browser")
        if complaints:
            raise SystemExit(f"the browser complains: {complaints}")
        return made
    finally:
        browser.quit()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Takes the README's pictures of a report.")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images", help="folder of the pictures")
    output = parser.parse_args().output.resolve()
    with tempfile.TemporaryDirectory() as folder:
        made = take_pictures(write_report(Path(folder)))
    output.mkdir(parents=True, exist_ok=True)
    for name, content in made.items():
        (output / name).write_bytes(content)
        print(f"{output / name}: {len(content):,} bytes")


if __name__ == "__main__":
    main()
