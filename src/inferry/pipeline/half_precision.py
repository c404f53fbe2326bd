"""What half precision does to a bundle, emulated on the CPU: how far its answers move, and what must stay in float32.

What is emulated, and what is not: docs/decisions/0024.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import onnx_ir as ir

from inferry.backends.registry import get_backend
from inferry.core.bundle import MODEL, Bundle
from inferry.core.errors import ParityError
from inferry.core.machine import signature
from inferry.core.protocols import Session, SessionOptions
from inferry.core.samples import Rejected
from inferry.core.specs import Array
from inferry.core.tolerances import LOGITS
from inferry.models.registry import get_recipe
from inferry.passes.emulate_half import emulate_half
from inferry.passes.half_range import Overflow, overflows, range_probe, touching
from inferry.pipeline.comparison.cases import Case, choose_cases, read_cases
from inferry.pipeline.comparison.forms import BACKEND
from inferry.pipeline.comparison.hops import SCORES, Figure, Hop, Meter
from inferry.pipeline.execution import collate, separate
from inferry.pipeline.model import Model
from inferry.pipeline.optimising.files import load_model, save_model
from inferry.pipeline.picture_input import PictureInput, picture_input
from inferry.pipeline.tasks.registry import get_task

NOTE: Final = "emulated on this CPU, not measured on an NPU"
"""Stands beside every number of this module."""

SEARCHES: Final = 64
"""Most runs of the network that a search for the nodes to keep may take."""


@dataclass(frozen=True)
class Drift:
    """How far half precision moves a bundle's answers, emulated.

    Attributes:
        bundle: Digest.
        keep: Nodes that stayed in float32, in the graph's order, those of its subgraphs last.
        nodes: Of the graph, its subgraphs not counted.
        hop: The emulation against float32: logits, answers, and the task's figures.
        float32: The task's main figure in float32; None where there are no references.
        overflows: Tensors that half precision cannot hold, in the graph's order; kept nodes do not matter here.
        data: The data set, None for the recipe's probes.
        left_out: Samples that could not be compared.
        signature: What made the numbers.
    """

    bundle: str
    keep: tuple[str, ...]
    nodes: int
    hop: Hop
    float32: Figure | None
    overflows: tuple[Overflow, ...]
    data: str | None
    left_out: tuple[Rejected, ...] = ()
    signature: dict[str, Any] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether no answer changed and the logits are within the tolerance."""
        return self.hop.passed

    @property
    def lines(self) -> tuple[str, ...]:
        """What a user should read, a sentence a line."""
        hop, kept = self.hop, f", {len(self.keep)} of {self.nodes} nodes kept in float32" if self.keep else ""
        first = f"half precision ({NOTE}): {hop.problem}{kept}"
        figures = [f"{figure.name} {figure.percent:.2f} %" for figure in (hop.agreement, hop.accuracy) if figure]
        if self.float32:
            figures.append(f"in float32 {self.float32.percent:.2f} %")
        second = ", ".join([*figures, f"samples: {hop.samples}"])
        if not self.overflows:
            return first, second, "no tensor leaves the range of half precision on these samples"
        one = self.overflows[0]
        third = (
            f"tensors that leave the range of half precision: {len(self.overflows)}, first {one.tensor}"
            f" at {one.node} ({one.operator}): {one.greatest:.3g}, the range ends at 65504"
        )
        return first, second, third

    def to_json(self) -> dict[str, Any]:
        """The content of drift.json."""
        return {
            "note": NOTE,
            "bundle": self.bundle,
            "keep": list(self.keep),
            "nodes": self.nodes,
            "hop": self.hop.to_json(),
            "float32": None if self.float32 is None else self.float32.to_json(),
            "first_overflow": self.overflows[0].to_json() if self.overflows else None,
            "overflows": [one.to_json() for one in self.overflows],
            "data": self.data,
            "left_out": [one.to_json() for one in self.left_out],
            "signature": self.signature,
        }


def half_drift(
    bundle: Bundle,
    keep: Collection[str] = (),
    *,
    data: Path | None = None,
    limit: int | None = None,
    kind: str | None = None,
    aipp: bool = False,
) -> Drift:
    """Emulate half precision on a bundle's probes or on a data set.

    Args:
        bundle: The bundle.
        keep: Names of nodes that stay in float32.
        data: The data set; None for the recipe's probes.
        limit: Most samples, None for 32 that are spread over the lengths.
        kind: The data set's layout, None to recognise it.
        aipp: Whether the om normalises the pictures itself; see `inferry.pipeline.picture_input`.

    Raises:
        UsageError: A name of `keep` is none of a node, or AIPP cannot take the bundle's inputs.
        ParityError: Nothing could be compared.
        BackendError: The runtime refuses the emulation.
    """
    with HalfEmulation(bundle, data=data, limit=limit, kind=kind, aipp=aipp) as emulation:
        return emulation.drift(keep)


def mixed_drift(
    bundle: Bundle,
    keep: Collection[str] = (),
    *,
    tolerance: float | None = None,
    data: Path | None = None,
    limit: int | None = None,
    kind: str | None = None,
    aipp: bool = False,
) -> Drift:
    """Find the nodes that must stay in float32, and measure what remains; `Drift.keep` holds them.

    Those that read or make a tensor beyond half precision's range are always among them. With a tolerance, further
    ones are kept until the logits are within it and no answer changes; see `HalfEmulation.keep_for`.

    Args:
        bundle: The bundle.
        keep: Names of nodes that stay in float32 in any case.
        tolerance: Greatest absolute difference on logits; None asks for the range only.
        data: As for `half_drift`.
        limit: As for `half_drift`.
        kind: As for `half_drift`.
        aipp: As for `half_drift`.

    Raises:
        UsageError: As for `half_drift`.
        ParityError: Nothing could be compared, or float32 itself is not within the tolerance.
        BackendError: The runtime refuses the emulation.
    """
    with HalfEmulation(bundle, data=data, limit=limit, kind=kind, aipp=aipp) as emulation:
        found = emulation.keep_for_range() if tolerance is None else emulation.keep_for(tolerance)
        return emulation.drift({*keep, *found}, tolerance)


class HalfEmulation:
    """A bundle, the samples it is measured on and what float32 says of them. Use it as a context manager.

    The samples' features and outputs stay in memory: this is for tens of samples, not for a whole data set.

    Args:
        bundle: The bundle.
        data: The data set; None for the recipe's probes.
        limit: Most samples, None for 32.
        kind: The data set's layout, None to recognise it.
        aipp: Whether the om normalises the pictures itself.

    Attributes:
        overflows: Tensors that half precision cannot hold, in the order of the graph.

    Raises:
        UsageError: AIPP cannot take the bundle's inputs.
        ParityError: Nothing can be compared.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        data: Path | None = None,
        limit: int | None = None,
        kind: str | None = None,
        aipp: bool = False,
    ) -> None:
        self._bundle, self._data = bundle, data
        self._pictures = picture_input(bundle) if aipp else None
        recipe = get_recipe(bundle.manifest.family)
        self._task, self._files = get_task(recipe.task), bundle.text_files()
        with ExitStack() as opened:
            self._model = opened.enter_context(Model(bundle, BACKEND, SessionOptions()))
            cases = choose_cases(self._model, recipe, data, limit, kind)
            left_out = list(cases.rejected)
            self._batches = list(read_cases(self._model, cases, left_out))
            self._left_out = tuple(left_out)
            if not self._batches:
                raise ParityError(f"nothing was compared: {left_out[0].id}: {left_out[0].reason}")
            self._truth = [self._float32(batch) for batch in self._batches]
            self.overflows = self._overflows()
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._opened.close()

    def drift(self, keep: Collection[str] = (), tolerance: float | None = None) -> Drift:
        """Measure the emulation with some nodes in float32.

        Raises:
            UsageError: A name is none of a node.
            BackendError: The runtime refuses the emulation.
        """
        meters = [
            Meter(name, self._model.decoder, tolerance or LOGITS["fp16"], self._task, self._files)
            for name in ("half precision", "float32")
        ]
        for batch, truth, found in zip(self._batches, self._truth, self._run(keep), strict=True):
            for case, expected, outputs in zip(batch, truth, found, strict=True):
                for meter, said in zip(meters, (outputs, expected), strict=True):
                    meter.add(case.id, expected, said, reference=case.reference)
        names = [str(node.name) for node in ir.load(self._bundle.model).graph]
        half, full = (meter.hop() for meter in meters)
        return Drift(
            bundle=self._bundle.digest,
            keep=(*(name for name in names if name in keep), *sorted(set(keep) - set(names))),
            nodes=len(names),
            hop=half,
            float32=full.accuracy,
            overflows=self.overflows,
            data=None if self._data is None else str(self._data),
            left_out=self._left_out,
            signature={**signature(), **self._model.signature(), "precision": "fp16, emulated"},
        )

    def keep_for_range(self) -> tuple[str, ...]:
        """The nodes that read or make a tensor that half precision cannot hold, weights included."""
        return touching(load_model(self._bundle.model), frozenset(one.tensor for one in self.overflows))

    def keep_for(self, tolerance: float, searches: int = SEARCHES) -> tuple[str, ...]:
        """Those of `keep_for_range`, and of the others as few as the search finds to come within a tolerance.

        The search gives nodes back to half precision in ever smaller runs of the graph, as long as the end result
        stays within the tolerance and no answer changes. What it ends with is enough; it need not be the least.

        Raises:
            ParityError: Not even float32 everywhere passes.
        """
        must = self.keep_for_range()
        if self.drift(must, tolerance).passed:
            return must
        order = [str(node.name) for node in ir.load(self._bundle.model).graph if node.name]
        if not self.drift(order, tolerance).passed:
            raise ParityError(f"the emulation departs by more than {tolerance:g} with every node in float32")
        rest = [name for name in order if name not in must]
        kept = release(rest, lambda some: self.drift({*must, *some}, tolerance).passed, searches)
        return tuple(name for name in order if name in {*must, *kept})

    def _float32(self, batch: Sequence[Case]) -> list[dict[str, Array]]:
        outputs = self._model.run_batch([case.features for case in batch])
        for case, said in zip(batch, outputs, strict=True):
            if not np.isfinite(said[SCORES]).all():
                raise ParityError(
                    f"the logits of {case.id} are not finite in float32: there is nothing to compare with"
                )
        return outputs

    def _run(self, keep: Collection[str]) -> Iterator[Sequence[dict[str, Array]]]:
        outputs = self._bundle.manifest.outputs
        with _session(emulate_half(load_model(self._bundle.model), keep)) as session:
            for batch in self._batches:
                inputs = self._inputs(batch)
                if self._pictures is not None:
                    inputs = self._normalised(self._pictures, batch)
                yield separate(session.run(inputs), outputs)

    @staticmethod
    def _normalised(pictures: PictureInput, batch: Sequence[Case]) -> dict[str, Array]:
        """What AIPP makes of the batch's pictures, as the graph takes it."""
        pixels = np.stack([pictures.to_uint8(case.features) for case in batch])
        return {pictures.spec.name: pictures.emulate(pixels).astype(np.float32)}

    def _overflows(self) -> tuple[Overflow, ...]:
        probe = range_probe(load_model(self._bundle.model))
        greatest: dict[str, float] = {}
        with _session(probe.model) as session:
            for batch in self._batches:
                for name, value in session.run(self._inputs(batch)).items():
                    tensor = probe.tensors[name]
                    greatest[tensor] = max(greatest.get(tensor, 0.0), float(value))
        # What the probe added to the graph holds nothing but zeros and indices.
        return overflows(probe.model, greatest)

    def _inputs(self, batch: Sequence[Case]) -> dict[str, Array]:
        return collate([case.features for case in batch], self._bundle.manifest.inputs)


def release(names: Sequence[str], passes: Callable[[Sequence[str]], bool], searches: int) -> tuple[str, ...]:
    """Which of these names are still needed when as many as possible are left out.

    Neighbours are tried together, in runs of half the list, a quarter and so on (delta debugging: Zeller and
    Hildebrandt 2002, doi:10.1109/32.988498).

    Args:
        names: All of which together pass.
        passes: Whether these names alone would do.
        searches: Most calls of `passes`.

    Returns:
        Names that pass, in the given order.
    """
    kept, size = list(names), max(1, len(names) // 2)
    while searches and kept:
        start = 0
        while start < len(kept) and searches:
            fewer = kept[:start] + kept[start + size :]
            searches -= 1
            if passes(fewer):
                kept = fewer
            else:
                start += size
        if size == 1:
            break
        size //= 2
    return tuple(kept)


@contextmanager
def _session(model: ir.Model) -> Iterator[Session]:
    """A model opened as it stands: the runtime's own rewrites would remove what rounds."""
    with TemporaryDirectory(prefix="inferry-half-") as folder:
        file = Path(folder) / MODEL
        save_model(model, file)
        session = get_backend(BACKEND).open(file, SessionOptions(optimise=False))
        try:
            yield session
        finally:
            session.close()
