"""The first hop that changes the answer, and what in the graph does it."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from inferry.metrics.differences import finite_or_none
from inferry.pipeline.comparison.bisection import Departure, first_departure
from inferry.pipeline.comparison.cases import Case, Cases, read_cases
from inferry.pipeline.comparison.forms import BACKEND, Form
from inferry.pipeline.comparison.hops import SCORES, Meter
from inferry.pipeline.model import Model


@dataclass(frozen=True)
class Fault:
    """The first hop that changed the answer, and what in the graph did it.

    Attributes:
        hop: Its name.
        sample: The sample that it changed most, on which the graph was searched.
        sentence: What was found, for people.
        node: The first node whose output departs; None where the search could not name one.
        operator: Its type.
        tensor: Its output.
        difference: Greatest absolute difference of that output; None also where it is not finite.
        scale: Greatest absolute value of that output where it is right.
    """

    hop: str
    sample: str
    sentence: str
    node: str | None = None
    operator: str | None = None
    tensor: str | None = None
    difference: float | None = None
    scale: float | None = None

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return asdict(self)


def find_fault(model: Model, forms: Sequence[Form], meters: Sequence[Meter], cases: Cases) -> Fault | None:
    """The first hop that changed the answer, searched for the node that does it; None where all passed.

    Args:
        model: Processes the sample again; its session may be closed.
        forms: The truth first.
        meters: Of the hops to all other forms.
        cases: What was compared.
    """
    for place, meter in enumerate(meters, start=1):
        hop = meter.hop()
        if hop.passed:
            continue
        form, batch = forms[place], _batch_of(model, cases, meter.worst)
        head = f"The first hop that changes the answer is {hop.name!r}: {hop.problem}."
        if form.inside is None:
            return Fault(hop.name, meter.worst, f"{head} Not narrowed down: {form.blind}.")
        with TemporaryDirectory(prefix="inferry-compare-") as folder:
            departure = first_departure(*form.inside(batch, Path(folder)), SCORES, BACKEND)
        if departure is None:
            module = "" if form.modules is None else form.modules(batch[0])
            tail = module or "It was not narrowed down further."
            return Fault(hop.name, meter.worst, f"{head} No node of the graph can be named: {form.blind}. {tail}")
        return _found(hop.name, meter.worst, head, departure)
    return None


def _found(hop: str, sample: str, head: str, departure: Departure) -> Fault:
    name = f"{departure.node} ({departure.operator})"
    size = "not finite" if math.isinf(departure.difference) else f"off by up to {departure.difference:.3g}"
    size += f" where its values reach {departure.scale:.3g}"
    inputs = "its inputs agree"
    if departure.inputs_relative:
        inputs += f" to {departure.inputs_relative:.1g} of theirs"
    if departure.unseen:
        body = (
            f"It comes in at the node {name} or at one of {departure.unseen:,} nodes before it, whose tensors have no"
            f" counterpart of the same name in the other graph: the output of that node is {size}."
        )
    elif departure.sharp:
        body = f"It comes in at the node {name}: its output is {size}, {inputs}."
    else:
        body = f"No single node departs sharply, rounding grows along the way; {name} adds most: {size}, {inputs}."
    changes = f" In this node, {'; '.join(departure.changes)}." if departure.changes else ""
    return Fault(
        hop=hop,
        sample=sample,
        sentence=f"{head} {body}{changes}",
        node=None if departure.unseen else departure.node,
        operator=None if departure.unseen else departure.operator,
        tensor=departure.tensor,
        difference=finite_or_none(departure.difference),
        scale=departure.scale,
    )


def _batch_of(model: Model, cases: Cases, id_: str) -> list[Case]:
    """The batch in which a sample was compared, that sample first."""
    for batch in read_cases(model, cases, []):
        if any(case.id == id_ for case in batch):
            return sorted(batch, key=lambda case: case.id != id_)
    raise AssertionError("every compared sample has a batch")
