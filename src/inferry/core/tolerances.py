"""How far two hops may differ: the one table."""

from typing import Final

LOGITS: Final[dict[str, float]] = {"fp32": 1e-4, "fp16": 0.1}
"""Greatest absolute difference on logits between two hops, by precision of the later hop. For fp16 it is above what was
measured where nothing overflows (0.035 on trained checkpoints, 0.082 on random weights); an overflow makes it ten."""

NEAR_TIE: Final[float] = 2e-4
"""Scores nearer than this can change places within `LOGITS["fp32"]`; the sample alone settles such an answer."""

PART: Final[float] = 1e-4
"""Greatest difference of what a further network gives, as a part of the output's scale: its outputs have several units
(features, pixels, scores)."""

SAME: Final[float] = 1e-8
"""Greatest difference of a tensor, as a part of its scale, where the same operators see the same numbers."""

ROUNDING: Final[float] = 1e-6
"""The same where a runtime may add in another order: fused, or in another batch. A fault is looked for above it."""

REWRITE: Final[dict[str, float]] = {"float16": 2e-3, "float32": 1e-5, "float64": 1e-5}
"""Greatest difference that a graph pass may make, as a part of the output's scale, by the output's dtype. Whole numbers
and booleans must stay the same."""
