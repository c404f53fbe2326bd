"""Options of the command line to a `Decoding`."""

from collections.abc import Sequence
from pathlib import Path

from inferry.core.protocols import Decoding


def decoding_of(
    beam: int | None,
    language_model: Path | None,
    alpha: float,
    beta: float,
    hotwords: Sequence[str] | None,
    hotword_weight: float,
) -> Decoding:
    """The options as the verbs get them; see `inferry.cli.options`."""
    return Decoding(beam, language_model, alpha, beta, tuple(hotwords or ()), hotword_weight)
