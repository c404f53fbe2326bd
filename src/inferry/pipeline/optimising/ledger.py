"""What the passes did to a model, as figures that a user can check."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from inferry.passes.rewriting import Declined
from inferry.pipeline.comparison.hops import Hop
from inferry.pipeline.optimising.failures import Failure

Result = Literal["kept", "nothing to change", "rolled back"]


@dataclass(frozen=True)
class Entry:
    """One pass.

    Attributes:
        name: Of the pass.
        result: What became of it.
        matches: Places that it changed; those of a pass that was rolled back too.
        declined: Places that it left, with reasons.
        nodes_before: Of the graph with its subgraphs.
        nodes_after: Likewise; as before where nothing was kept.
        difference: Greatest between the outputs before and after, as a part of their scale; None where nothing was
            run, infinite where the outputs cannot be compared.
        problem: Why it was rolled back; empty otherwise.
        failure: What is kept of it to look into; None where nothing was rolled back.
    """

    name: str
    result: Result
    matches: int
    declined: tuple[Declined, ...]
    nodes_before: int
    nodes_after: int
    difference: float | None
    problem: str = ""
    failure: Failure | None = None

    @property
    def node(self) -> str:
        """The first node whose output the pass changed; empty where it was kept, or where none can be named."""
        return "" if self.failure is None else self.failure.node

    @property
    def reasons(self) -> dict[str, int]:
        """How many places were declined for each reason, the most frequent first."""
        return dict(Counter(one.reason for one in self.declined).most_common())

    def to_json(self) -> dict[str, Any]:
        """A JSON object; a difference that is infinite is null beside its problem."""
        finite = self.difference is not None and math.isfinite(self.difference)
        return {
            "pass": self.name,
            "result": self.result,
            "matches": self.matches,
            "declined": [{"node": one.node, "reason": one.reason} for one in self.declined],
            "nodes_before": self.nodes_before,
            "nodes_after": self.nodes_after,
            "difference": self.difference if finite else None,
            "problem": self.problem,
            "failure": None if self.failure is None else self.failure.to_json(),
        }


@dataclass(frozen=True)
class Ledger:
    """All passes over one model.

    Attributes:
        model: The file or bundle that was read.
        output: The file or bundle that was written.
        target: What it is for.
        entries: In the order in which the passes ran.
        difference: Greatest between the outputs of the two files, as a part of their scale.
        cases: Sizes at which every pass was proven.
        skipped: Sizes that the model itself did not run at, with the reason.
        problems: Why the target would still refuse the written file; empty if nothing is known against it.
        signature: Of the machine and the runtime that proved it, and the seed.
        hops: For a bundle: the new one's answers to the recipe's probes, compared with the old one's.
        untouched: For a bundle: its further graphs, which no pass saw.
        left_out: For a bundle: how many probes are larger than the sizes that were asked for.
    """

    model: Path
    output: Path
    target: str
    entries: tuple[Entry, ...]
    difference: float
    cases: tuple[str, ...]
    skipped: Mapping[str, str]
    problems: tuple[str, ...]
    signature: Mapping[str, Any]
    hops: tuple[Hop, ...] = ()
    untouched: tuple[str, ...] = ()
    left_out: int = 0

    @property
    def kept(self) -> tuple[str, ...]:
        """The passes that changed the model."""
        return tuple(entry.name for entry in self.entries if entry.result == "kept")

    @property
    def rolled_back(self) -> tuple[Entry, ...]:
        """The passes that broke the model."""
        return tuple(entry for entry in self.entries if entry.result == "rolled back")

    @property
    def ok(self) -> bool:
        """Whether every pass held and the target has nothing against the result."""
        return not self.rolled_back and not self.problems

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {
            "model": str(self.model),
            "output": str(self.output),
            "target": self.target,
            "ok": self.ok,
            "passes": [entry.to_json() for entry in self.entries],
            "difference": self.difference,
            "cases": list(self.cases),
            "skipped": dict(self.skipped),
            "problems": list(self.problems),
            "signature": dict(self.signature),
            "hops": [hop.to_json() for hop in self.hops],
            "untouched": list(self.untouched),
            "left_out": self.left_out,
        }
