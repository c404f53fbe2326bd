"""The row of a sample's answer in predictions.jsonl, wherever its outputs were computed."""

from collections.abc import Mapping, Sequence
from typing import Any

from inferry.core.samples import Box, Reference


def answer_row(
    sample: str,
    answer: Mapping[str, Any],
    reference: Reference | None,
    *,
    windows: int = 1,
    regions: Sequence[Box | Sequence[float]] = (),
    seconds: float | None = None,
) -> dict[str, Any]:
    """One row; the same arguments give the same bytes.

    Args:
        sample: Its id.
        answer: What `Prediction.to_json` gives.
        reference: What people say.
        windows: In how many the sample ran.
        regions: Of a picture, where the best regions lie.
        seconds: Duration of a sound, None for other tasks.
    """
    row: dict[str, Any] = {"id": sample, **answer}
    if windows > 1:
        row["windows"] = windows
    if regions:
        row["regions"] = regions
    row["seconds"] = None if seconds is None else round(seconds, 6)
    return {**row, "reference": reference}
