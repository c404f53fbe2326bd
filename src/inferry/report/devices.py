"""Accuracy and speed by device, in the table form of the recipes that publish them for Ascend NPUs.

Those tables have the columns chip, batch size, data set, accuracy and performance. Rows that were measured on another
machine than the one that wrote the run say so, and carry their own signature.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from inferry.report.markup import NOTHING, Markup, count, decimal, element, join, note, section, table


@dataclass(frozen=True)
class DeviceRow:
    """One device at one batch size.

    Attributes:
        device: Chip or runtime.
        shape: Of one sample, such as ``samples160000``; empty where every sample has its own or all have one.
        batch_size: Samples a batch.
        data: Name of the data set.
        accuracy: The task's rates in one phrase, over the whole data set; empty where it was not scored.
        milliseconds: Of one batch on the device alone, median; None if unknown.
        items_per_second: Samples a second, as `scope` says; None if unknown.
        scope: What the speed counts.
        elsewhere: Whether it was measured on another machine.
    """

    device: str
    shape: str
    batch_size: int
    data: str
    accuracy: str
    milliseconds: float | None
    items_per_second: float | None
    scope: str
    elsewhere: bool


@dataclass(frozen=True)
class Devices:
    """The rows of one run.

    Attributes:
        rows: Those measured elsewhere first.
        signature: Of what was measured elsewhere: names and values.
    """

    rows: tuple[DeviceRow, ...]
    signature: tuple[tuple[str, str], ...]


_COLUMNS = (
    "Chip",
    "Measured",
    ">Batch size",
    "Shape",
    "Data set",
    "Accuracy",
    ">ms a batch",
    ">Samples per second",
    "Counted",
)
_SHAPE = _COLUMNS.index("Shape")


def devices_section(labels: Sequence[str], devices: Sequence[Devices]) -> Markup:
    """The table of all runs, and the signatures of what was measured elsewhere; empty where nothing was."""
    found = list(zip(labels, devices, strict=True))
    if not any(row.elsewhere for one in devices for row in one.rows):
        return Markup()
    several = len(labels) > 1
    shaped = any(row.shape for _, one in found for row in one.rows)
    left_out = -1 if shaped else _SHAPE
    columns = [*(["Run"] if several else []), *_without(_COLUMNS, left_out)]
    rows = [
        [*([label] if several else []), *_without(_cells(row), left_out)] for label, one in found for row in one.rows
    ]
    signatures = [
        join(
            [
                element("h3", f"Signature of what was measured elsewhere{f': {label}' if several else ''}"),
                table(["", "value"], one.signature),
            ]
        )
        for label, one in found
        if one.signature
    ]
    said = (
        "ais_bench counts the time of the model on the NPU alone: reading, processing, copies to and from the device "
        "and decoding are in none of its numbers, so they are not comparable with the speed of whole runs. "
        "The accuracy is that of the whole data set, not of one shape."
    )
    return section("Devices", "devices", table(columns, rows), note(said), *signatures)


def _cells(row: DeviceRow) -> list[str]:
    return [
        row.device,
        "elsewhere" if row.elsewhere else "here",
        count(row.batch_size),
        row.shape or NOTHING,
        row.data,
        row.accuracy or NOTHING,
        decimal(row.milliseconds),
        decimal(row.items_per_second, 1),
        row.scope,
    ]


def _without(cells: Sequence[str], place: int) -> list[str]:
    return [cell for index, cell in enumerate(cells) if index != place]
