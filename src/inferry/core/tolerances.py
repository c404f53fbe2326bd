"""How far two hops may differ: the one table."""

from typing import Final

LOGITS: Final[dict[str, float]] = {"fp32": 1e-4}
"""Greatest absolute difference on logits between two hops, by precision of the later hop."""

NEAR_TIE: Final[float] = 2e-4
"""Scores nearer than this can change places within `LOGITS["fp32"]`; the sample alone settles such an answer."""
