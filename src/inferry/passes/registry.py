"""The passes by name, and the order in which each target takes them."""

from dataclasses import dataclass
from typing import Final

from inferry.core.errors import UsageError
from inferry.passes.clamp_constants import ClampConstants
from inferry.passes.clean_up import CleanUp
from inferry.passes.fold_batch_norm import FoldBatchNorm
from inferry.passes.fold_constants import FoldConstants
from inferry.passes.legal_opset import LegalOpset
from inferry.passes.merge_casts import MergeCasts
from inferry.passes.merge_concats import MergeConcats
from inferry.passes.merge_slices import MergeSlices
from inferry.passes.narrow_indices import NarrowIndices
from inferry.passes.positive_gather import PositiveGather
from inferry.passes.rewriting import Pass

_ALL: Final[tuple[Pass, ...]] = (
    CleanUp(),
    FoldConstants(),
    FoldBatchNorm(),
    MergeCasts(),
    MergeSlices(),
    MergeConcats(),
    PositiveGather(),
    NarrowIndices(),
    ClampConstants(),
    LegalOpset(),
)
PASSES: Final[dict[str, Pass]] = {one.name: one for one in _ALL}

_FIRST: Final = ("clean-up", "fold-constants")
_SMALLER: Final = ("fold-batch-norm", "merge-casts", "merge-slices", "merge-concats")


@dataclass(frozen=True)
class Target:
    """What a model is rewritten for.

    Attributes:
        passes: Their names, in order.
        opsets: That it reads; None where it reads all that ONNX Runtime does.
    """

    passes: tuple[str, ...]
    opsets: LegalOpset | None = None


TARGETS: Final[dict[str, Target]] = {
    "ascend310p": Target(
        ("legal-opset", *_FIRST, *_SMALLER, "positive-gather", "narrow-indices", "clamp-constants", "clean-up"),
        LegalOpset(),
    ),
    "onnxruntime": Target((*_FIRST, *_SMALLER, "clean-up")),
}


def get_target(name: str) -> Target:
    """The target of that name.

    Raises:
        UsageError: There is none; those available are listed.
    """
    if name not in TARGETS:
        raise UsageError(f"unknown target {name!r}; available: {', '.join(sorted(TARGETS))}")
    return TARGETS[name]


def get_pass(name: str) -> Pass:
    """The pass of that name.

    Raises:
        UsageError: There is none; those available are listed.
    """
    if name not in PASSES:
        raise UsageError(f"unknown pass {name!r}; available: {', '.join(sorted(PASSES))}")
    return PASSES[name]
