"""The whole page: one file without any request to the outside."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from string import Template
from typing import Final

from inferry.core.errors import RunError
from inferry.report.accuracy import Accuracy, accuracy_section
from inferry.report.devices import Devices, devices_section
from inferry.report.inline import inline_scripts, inline_styles, read_asset
from inferry.report.ledger import Ledger, ledger_section
from inferry.report.markup import element, join
from inferry.report.overview import Overview, overview_section, provenance_section, settings_section, title_of
from inferry.report.quarantine import Quarantine, quarantine_section
from inferry.report.rows import Row, fitting
from inferry.report.samples import Samples, samples_section
from inferry.report.speed import Speed, speed_section
from inferry.report.timing import Lengths, Stages, timing_section, timing_title

LIMIT: Final = 2_000_000
"""Bytes that a page stays under, whatever the run."""

_MARGIN: Final = 2_000
"""The sentence about how many rows are shown is longer than the one without any."""


@dataclass(frozen=True)
class RunPart:
    """All that the page says about one run.

    Attributes:
        overview: Names and figures.
        settings: Configuration and signature, flat.
        accuracy: The score.
        ledger: The parity ledger, or the sentence that says how to make one.
        speed: The benchmark, or likewise.
        devices: What it ran on, and how fast.
        stages: Where the time went; None if the run does not say.
        lengths: Of its samples; None for a task without lengths.
        quarantine: What could not be answered.
        doubts: What a reader should know before trusting a number, a sentence each.
    """

    overview: Overview
    settings: dict[str, str]
    accuracy: Accuracy
    ledger: Ledger | str
    speed: Speed | str
    devices: Devices
    stages: Stages | None
    lengths: Lengths | None
    quarantine: Quarantine
    doubts: tuple[str, ...] = ()


@dataclass(frozen=True)
class Report:
    """What a page is made from.

    Attributes:
        runs: One or more.
        samples: Theirs, joined.
        command: Writes the page again.
    """

    runs: tuple[RunPart, ...]
    samples: Samples
    command: str


def render(report: Report) -> str:
    """The page as HTML, with as many samples as keep it under `LIMIT` bytes.

    Raises:
        RunError: It would be larger even without any sample.
    """
    silent = replace(report, samples=replace(report.samples, exhibits=()))
    for one in (report, silent):
        room = LIMIT - _MARGIN - len(_assemble(one, ()).encode())
        if room >= 0:
            return _assemble(one, fitting(one.samples.rows, room))
    raise RunError(
        f"the page would have {LIMIT - room:,} bytes without any sample, more than {LIMIT:,}: lay fewer runs side by "
        f"side, or measure fewer batch sizes and configurations"
    )


def _assemble(report: Report, rows: Sequence[Row]) -> str:
    runs = report.runs
    labels = [run.overview.label for run in runs]
    lengths = [run.lengths for run in runs]
    devices = devices_section(labels, [run.devices for run in runs])
    links = [("accuracy", "Accuracy"), ("parity", "Parity"), *([("devices", "Devices")] if devices else [])]
    links += [("speed", "Batch sizes"), ("time", timing_title(lengths))]
    links += [("samples", "Samples"), ("quarantine", "Quarantined"), ("signature", "Signature")]
    settings = [run.settings for run in runs]
    sections = [
        overview_section([run.overview for run in runs], links),
        *(
            element("p", element("b", run.overview.label), ": ", doubt, class_="fault")
            for run in runs
            for doubt in run.doubts
        ),
        *([settings_section(labels, settings)] if len(runs) > 1 else []),
        accuracy_section(labels, [run.accuracy for run in runs]),
        ledger_section(labels, [run.ledger for run in runs]),
        devices,
        speed_section(labels, [run.speed for run in runs]),
        timing_section(labels, [run.stages for run in runs], lengths),
        samples_section(labels, report.samples, rows),
        quarantine_section(labels, [run.quarantine for run in runs]),
        provenance_section(labels, settings, report.command),
    ]
    return Template(read_asset("page.html")).substitute(
        title=escape(title_of([run.overview for run in runs])),
        styles=inline_styles(),
        body=join(sections),
        scripts=inline_scripts(),
    )
