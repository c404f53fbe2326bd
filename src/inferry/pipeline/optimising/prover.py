"""Runs two forms of a model on the same inputs and says how far their outputs are apart."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np

from inferry.backends.registry import get_backend
from inferry.core.errors import BackendError, ParityError
from inferry.core.protocols import Session, SessionOptions
from inferry.core.specs import Array
from inferry.core.tolerances import REWRITE
from inferry.pipeline.optimising.cases import Case

CASES: Final = 3
"""Sizes at which a pass is proven, where the model has dynamic dimensions."""

_LARGEST_SIZE: Final = 1 << 26
"""Elements of an output; sizes that make larger ones are not kept for comparison."""


@dataclass(frozen=True)
class Proof:
    """How two forms compare.

    Attributes:
        difference: Greatest over all cases and outputs, as a part of the output's scale; infinite where the outputs
            are not comparable.
        problem: Why the second form is not equal to the first; empty if it is.
        case: Place of the case in which it is not.
        output: Whose numbers differ there; empty where the forms cannot be compared at all.
    """

    difference: float
    problem: str = ""
    case: int = 0
    output: str = ""


class CaseError(BackendError):
    """A model that opened does not run on one of the cases.

    Attributes:
        case: That one.
    """

    def __init__(self, message: str, case: Case) -> None:
        super().__init__(message)
        self.case = case


Results = Sequence[dict[str, Array]]
"""The outputs of one form, case by case."""


class Prover:
    """Holds the cases and what the original model answers.

    Args:
        model: The original.
        candidates: Cases to try, the first `CASES` that the original runs are kept.
        backend: Of `inferry.backends`. It may not rewrite the graph itself: what is compared is what the file says.
        real: Cases that are tried first; all that the original runs are kept.
        precision: Of the original; see `inferry.pipeline.optimising.cases.precision_of`.

    Attributes:
        cases: Those that are used.
        skipped: Those that the original refuses or answers without a number, with the reason.
        original: What the original gives.

    Raises:
        ParityError: The original runs on none of the cases, so nothing could be proven.
    """

    def __init__(
        self,
        model: Path,
        candidates: Iterable[Case],
        backend: str = "onnxruntime",
        *,
        real: Sequence[Case] = (),
        precision: str = "float32",
    ) -> None:
        self._backend = get_backend(backend)
        self._precision = precision
        self.cases: list[Case] = []
        self.original: list[dict[str, Array]] = []
        self.skipped: dict[str, str] = {}
        session = self._backend.open(model, SessionOptions(optimise=False))
        self.signature: dict[str, Any] = session.signature()
        try:
            for case in real:
                self._try(session, case)
            enough = len(self.cases) + CASES
            for case in candidates:
                if len(self.cases) == enough:
                    break
                self._try(session, case)
        finally:
            session.close()
        if not self.cases:
            raise ParityError(_nothing_proven(model, self.skipped))

    def _try(self, session: Session, case: Case) -> None:
        """Keep a case that the original runs."""
        try:
            outputs = session.run(case.inputs)
            _require_numbers(outputs)
        except BackendError as error:
            self.skipped[case.sizes] = str(error)
            return
        self.cases.append(case)
        self.original.append(outputs)

    def compare(self, before: Results, after: Results) -> Proof:
        """`compare` at the original's precision."""
        return compare(before, after, self._precision)

    @property
    def tolerance(self) -> float:
        """What `compare` allows, as a part of an output's scale."""
        return REWRITE[self._precision]

    def run(self, model: Path) -> list[dict[str, Array]]:
        """The outputs of another form of the model.

        Raises:
            BackendError: It does not open; a `CaseError` where it opens and does not run.
        """
        session = self._backend.open(model, SessionOptions(optimise=False))
        try:
            return [_run(session, case) for case in self.cases]
        finally:
            session.close()


def _run(session: Session, case: Case) -> dict[str, Array]:
    try:
        return session.run(case.inputs)
    except BackendError as error:
        raise CaseError(str(error), case) from error


def compare(before: Results, after: Results, precision: str = "float32") -> Proof:
    """Whether two forms give the same, within `REWRITE`; NaN and infinities must be the same.

    Args:
        before: What is right.
        after: What is compared with it.
        precision: The coarsest that the network computes in: a float32 output of a network that computes in float16
            is no more exact than that.
    """
    greatest = 0.0
    for place, (expected, found) in enumerate(zip(before, after, strict=True)):
        if list(expected) != list(found):
            return Proof(math.inf, f"its outputs are {', '.join(found)}, not {', '.join(expected)}")
        for name, array in expected.items():
            proof = _compare(name, array, found[name], precision)
            greatest = max(greatest, proof.difference)
            if proof.problem:
                return Proof(greatest, proof.problem, place, proof.output)
    return Proof(greatest)


def _compare(name: str, a: Array, b: Array, precision: str) -> Proof:
    if a.dtype != b.dtype or a.shape != b.shape:
        return Proof(math.inf, f"output {name} is {b.dtype} {b.shape} instead of {a.dtype} {a.shape}")
    difference = relative_difference(a, b)
    tolerance = max(REWRITE[str(a.dtype)], REWRITE[precision]) if str(a.dtype) in REWRITE else 0.0
    if difference > tolerance:
        problem = f"output {name} differs by {difference:.1e} of its scale, allowed are {tolerance:.0e}"
        return Proof(difference, problem, output=name)
    return Proof(difference)


def relative_difference(a: Array, b: Array) -> float:
    """Greatest absolute difference as a part of the greatest absolute value; 0 where both are the same."""
    if np.array_equal(a, b, equal_nan=a.dtype.kind == "f"):
        return 0.0
    if a.dtype.kind not in "fiu":
        return math.inf
    finite = np.isfinite(a)
    if not np.array_equal(a[~finite], b[~finite], equal_nan=True) or not np.isfinite(b[finite]).all():
        return math.inf
    first, second = a[finite].astype(np.float64), b[finite].astype(np.float64)
    scale = float(np.abs(first).max(initial=0.0))
    return float(np.abs(first - second).max()) / scale if scale else math.inf


def _nothing_proven(model: Path, skipped: Mapping[str, str]) -> str:
    """Why no pass can be proven, and what helps."""
    if not skipped:
        return f"{model}: inputs of these sizes are too large to prove a pass on; name smaller ones with --sizes"
    sizes, reason = list(skipped.items())[-1]
    why = " ".join(f"at {sizes}: {reason}".split())
    hint = "name sizes that it takes with --sizes, or give real inputs (cases= in Python)"
    return f"{model} runs on no made-up inputs, so no pass can be proven; {hint}. The last try, {why}"


def _require_numbers(outputs: dict[str, Array]) -> None:
    """Refuse what proves nothing.

    Raises:
        BackendError: An output has no finite number, or too many.
    """
    for name, array in outputs.items():
        if array.size > _LARGEST_SIZE:
            raise BackendError(f"output {name} has {array.size:,} elements")
        if array.dtype.kind == "f" and not np.isfinite(array).any():
            raise BackendError(f"output {name} has no finite number")
