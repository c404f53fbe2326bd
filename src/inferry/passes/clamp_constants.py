"""Constants that float16 cannot hold become the greatest number that it can."""

from dataclasses import dataclass
from typing import Final

import numpy as np
import onnx_ir as ir
from onnx_ir.passes.common import LiftConstantsToInitializersPass

from inferry.passes.rewriting import Declined, Outcome, constant

_GREATEST: Final = float(np.finfo(np.float16).max)


@dataclass(frozen=True, slots=True)
class ClampConstants:
    """Float constants beyond ±65504 are clamped: in float16 they are infinite, and zero times that is NaN.

    Infinities stay, float16 has them. Whether the answers stay is not for the pass to say: that is measured.
    """

    name: str = "clamp-constants"

    def apply(self, model: ir.Model) -> Outcome:
        """See `Pass.apply`. A match is a tensor, however many nodes read it."""
        LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
        matches, declined = 0, []
        for graph in model.graphs():
            for value in graph.initializers.values():
                if value.dtype not in {ir.DataType.FLOAT, ir.DataType.DOUBLE} or value.const_value is None:
                    continue
                array = constant(value)
                if array is None:
                    declined.append(Declined(str(value.name), "is an input of the graph with a default"))
                elif (beyond := np.isfinite(array) & (np.abs(array) > _GREATEST)).any():
                    clamped = np.where(beyond, np.clip(array, -_GREATEST, _GREATEST), array).astype(array.dtype)
                    value.const_value = ir.Tensor(clamped, name=value.name)
                    matches += 1
        return Outcome(model, matches, tuple(declined))
