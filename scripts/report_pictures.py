"""Takes the README's pictures of reports: ``python scripts/report_pictures.py``.

Runs demo checkpoints over demo data, compares, measures, writes the reports, and photographs them in Chromium. It
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
EXAMPLES: Final = ROOT / "examples"

LARGEST: Final = 300_000
"""Bytes of a picture."""

WIDTH: Final = 1080
MARGIN: Final = 24
FIGURES: Final = frozenset({"accuracy", "ledger", "throughput", "latency", "stages"})
"""Of every page."""


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


@dataclass(frozen=True)
class Demo:
    """A run whose page is photographed.

    Attributes:
        family: Of the checkpoint; the run is named after it.
        checkpoint: Path within ``examples/``.
        data: Likewise.
        bench: Further options of ``inferry bench``.
        figures: That the page must have.
        pictures: Parts of the page.
    """

    family: str
    checkpoint: str
    data: str
    bench: tuple[str, ...]
    figures: frozenset[str]
    pictures: tuple[Picture, ...]


SPEECH: Final = Demo(
    family="wav2vec2",
    checkpoint="speech/wav2vec2",
    data="speech/clips/demo-clean",
    bench=("--batch-sizes", "1,4,8", "--baseline", "recipe"),
    figures=FIGURES | {"lengths"},
    pictures=(
        Picture("report.png", "", "figure[data-chart=ledger]"),
        Picture("report-samples.png", "#samples", "#grid .tabulator-row:nth-of-type(10)"),
    ),
)
IMAGES: Final = Demo(
    family="beit",
    checkpoint="images/beit/beit_shapes.pth",
    data="images/shapes",
    bench=("--batch-sizes", "1,4,8"),
    figures=FIGURES,
    pictures=(Picture("report-pictures.png", "#samples", "#samples article:nth-of-type(4)"),),
)


def write_report(demo: Demo, folder: Path) -> Path:
    """Run, compare, measure and report, by the commands that a user types.

    Args:
        demo: What is run.
        folder: Where the run is written, under a relative name, as the pictures show it.

    Returns:
        The page.
    """
    run = f"{demo.family}-run"
    checkpoint = ("--checkpoint", str(EXAMPLES / demo.checkpoint))
    data = ("--data", str(EXAMPLES / demo.data))
    for command in (
        ("run", demo.family, *checkpoint, *data, "--output", run),
        ("compare", f"{run}/bundle", *checkpoint, *data, "--output", run),
        ("bench", f"{run}/bundle", *data, *demo.bench, "--output", run),
        ("report", run),
    ):
        subprocess.run([sys.executable, "-m", "inferry", *command], cwd=folder, check=True)
    return folder / run / "report.html"


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
        " && [...document.images].every(image => image.naturalWidth > 0)"
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


def take_pictures(demo: Demo, page: Path) -> dict[str, bytes]:
    """All pictures by name.

    Args:
        demo: What was run.
        page: Its report.
    """
    browser = open_page(page)
    try:
        script = "return [...document.querySelectorAll('figure[data-chart]:has(svg)')].map(one => one.dataset.chart)"
        missing = demo.figures - set(browser.execute_script(script))
        if missing:
            raise SystemExit(f"the report lacks its figures {', '.join(sorted(missing))}")
        made = {picture.name: photograph(browser, picture) for picture in demo.pictures}
        complaints = browser.get_log("browser")
        if complaints:
            raise SystemExit(f"the browser complains: {complaints}")
        return made
    finally:
        browser.quit()


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Takes the README's pictures of reports.")
    parser.add_argument("--output", type=Path, default=ROOT / "docs" / "images", help="folder of the pictures")
    output = parser.parse_args().output.resolve()
    with tempfile.TemporaryDirectory() as folder:
        pages = {demo: write_report(demo, Path(folder)) for demo in (SPEECH, IMAGES)}
        made = {name: content for demo, page in pages.items() for name, content in take_pictures(demo, page).items()}
    output.mkdir(parents=True, exist_ok=True)
    for name, content in made.items():
        (output / name).write_bytes(content)
        print(f"{output / name}: {len(content):,} bytes")


if __name__ == "__main__":
    main()
