"""The passes by name, and the order in which each target takes them."""

from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Final

from inferry.core.errors import UsageError
from inferry.passes.clamp_constants import ClampConstants
from inferry.passes.clean_up import CleanUp
from inferry.passes.conv1d_to_conv2d import Conv1dToConv2d
from inferry.passes.expand_gelu import ExpandGelu
from inferry.passes.fix_shapes import FixShapes
from inferry.passes.fold_batch_norm import FoldBatchNorm
from inferry.passes.fold_constants import FoldConstants
from inferry.passes.fold_scale import FoldScale
from inferry.passes.forward_recurrences import ForwardRecurrences
from inferry.passes.fuse_attention import FuseAttention
from inferry.passes.fuse_gelu import FuseGelu
from inferry.passes.fuse_layer_norm import FuseLayerNorm
from inferry.passes.fuse_qkv import FuseQkv
from inferry.passes.legal_opset import LegalOpset
from inferry.passes.merge_casts import MergeCasts
from inferry.passes.merge_concats import MergeConcats
from inferry.passes.merge_slices import MergeSlices
from inferry.passes.narrow_doubles import NarrowDoubles
from inferry.passes.narrow_indices import NarrowIndices
from inferry.passes.narrow_integers import NarrowIntegers
from inferry.passes.pad_sequence import PadSequence
from inferry.passes.positive_gather import PositiveGather
from inferry.passes.rewriting import Pass
from inferry.passes.unroll_loops import UnrollLoops

_ALL: Final[tuple[Pass, ...]] = (
    FixShapes(),
    CleanUp(),
    FoldConstants(),
    FoldBatchNorm(),
    MergeCasts(),
    MergeSlices(),
    MergeConcats(),
    Conv1dToConv2d(),
    PadSequence(),
    PositiveGather(),
    NarrowIndices(),
    NarrowIntegers(),
    NarrowDoubles(),
    UnrollLoops(),
    ForwardRecurrences(),
    FuseLayerNorm(),
    FuseGelu(),
    FuseAttention(),
    FuseQkv(),
    FoldScale(),
    ClampConstants(),
    ExpandGelu(),
    LegalOpset(),
)
PASSES: Final[dict[str, Pass]] = {one.name: one for one in _ALL}
"""Built in. Others join through the entry point group ``inferry.passes``."""

_FIRST: Final = ("clean-up", "fold-constants")
_SMALLER: Final = ("fold-batch-norm", "merge-casts", "merge-slices", "merge-concats")
_FORMS: Final = ("fuse-layer-norm", "fuse-gelu")


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
        (
            *("expand-gelu", "legal-opset"),
            *_FIRST,
            # Loops and recurrent layers that atc has no parser for; what a loop counts and a layer measures is folded.
            *("unroll-loops", "fold-constants", "forward-recurrences", "fold-constants"),
            *_SMALLER,
            *(*_FORMS, "fold-scale"),
            # Convolutions of pictures one pixel high, sequences in whole blocks of the matrix unit.
            *("conv1d-to-conv2d", "pad-sequence"),
            "positive-gather",
            # 32 bits are what the vector units have; the Casts that this leaves in a row are merged.
            *("narrow-indices", "narrow-integers", "narrow-doubles", "merge-casts"),
            "clamp-constants",
            "clean-up",
        ),
        LegalOpset(),
    ),
    "onnxruntime": Target((*_FIRST, *_SMALLER, *_FORMS, "clean-up")),
}


def get_target(name: str) -> Target:
    """The target of that name.

    Raises:
        UsageError: There is none; those available are listed.
    """
    if name not in TARGETS:
        raise UsageError(f"unknown target {name!r}; available: {', '.join(sorted(TARGETS))}")
    return TARGETS[name]


def pass_names() -> list[str]:
    """All names that `get_pass` knows."""
    return sorted({*PASSES, *(point.name for point in entry_points(group="inferry.passes"))})


def get_pass(name: str) -> Pass:
    """The pass of that name.

    Raises:
        UsageError: There is none; those available are listed.
    """
    if name in PASSES:
        return PASSES[name]
    for point in entry_points(group="inferry.passes"):
        if point.name == name:
            found: Pass = point.load()()
            return found
    raise UsageError(f"unknown pass {name!r}; available: {', '.join(pass_names())}")
