"""Options of the command line to a `Decoding`."""

from collections.abc import Sequence
from pathlib import Path

from inferry.core.errors import UsageError
from inferry.core.protocols import Decoding


def decoding_of(
    beam: int | None,
    language_model: Path | None,
    alpha: float,
    beta: float,
    hotwords: Sequence[str] | None,
    hotword_weight: float,
) -> Decoding:
    """The options as the verbs get them; see `inferry.cli.options`.

    Raises:
        UsageError: A weight of something that is not given.
    """
    if language_model is None and (alpha, beta) != (Decoding.alpha, Decoding.beta):
        raise UsageError("--alpha and --beta weigh a language model: name one with --lm, or leave them out")
    if not hotwords and hotword_weight != Decoding.hotword_weight:
        raise UsageError("--hotword-weight weighs hotwords: name one with --hotword, or leave it out")
    return Decoding(beam, language_model, alpha, beta, tuple(hotwords or ()), hotword_weight)
