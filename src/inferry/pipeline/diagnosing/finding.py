"""One line of what `inferry doctor` says."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Finding:
    """One line of the report.

    Attributes:
        name: Of the part.
        ok: Whether it can be used.
        detail: Version, or what to do.
    """

    name: str
    ok: bool
    detail: str
