"""The parity ledger: which hop brought how much difference."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from inferry.report.fields import optional_float, optional_int
from inferry.report.markup import (
    NOTHING,
    Markup,
    chart,
    count,
    decimal,
    element,
    join,
    note,
    scientific,
    section,
    table,
)


@dataclass(frozen=True)
class Figure:
    """A figure under its own name, such as ``WER to the references``, in percent."""

    name: str
    percent: float

    @classmethod
    def from_json(cls, row: Mapping[str, Any] | None) -> "Figure | None":
        """A figure of a hop; None where there is none."""
        return None if row is None else cls(str(row["name"]), float(row["percent"]))


@dataclass(frozen=True)
class Hop:
    """One comparison with the original; everything but the name is None where it was not measured.

    Attributes:
        name: Such as ``original → ONNX, alone``.
        compared: Whether it was; `reason` says why not.
        reason: One sentence, empty where it was compared.
        passed: Whether the greatest difference is within the tolerance.
        samples: That were compared.
        max_abs: Greatest absolute difference on the outputs; None in a compared hop whose outputs are not finite.
        mean_abs: Its mean.
        p999_abs: Its 99.9th percentile.
        cosine: Smallest cosine similarity.
        tolerance: Greatest difference allowed.
        just_passes: The tolerance that would just pass.
        added_max_abs: What this hop brought beyond the one before it.
        frames: Output frames compared.
        frames_changed: Frames with another best class.
        answers_changed: Answers that are not the original's.
        near_ties: Answers in which the best two scores are nearer than the tolerance.
        agreement: How far the answers are the truth's own.
        accuracy: The task's main figure against the references.
    """

    name: str
    compared: bool
    reason: str = ""
    passed: bool | None = None
    samples: int | None = None
    max_abs: float | None = None
    mean_abs: float | None = None
    p999_abs: float | None = None
    cosine: float | None = None
    tolerance: float | None = None
    just_passes: float | None = None
    added_max_abs: float | None = None
    frames: int | None = None
    frames_changed: int | None = None
    answers_changed: int | None = None
    near_ties: int | None = None
    agreement: Figure | None = None
    accuracy: Figure | None = None

    @property
    def verdict(self) -> str:
        """One word or two for the table."""
        return "not compared" if not self.compared else "passed" if self.passed else "FAILED"

    @property
    def greatest(self) -> str:
        """`max_abs` for people."""
        return "not finite" if self.compared and self.max_abs is None else scientific(self.max_abs)

    @property
    def step(self) -> float | None:
        """What the hop brought; the first one that was compared brought all it has."""
        return self.max_abs if self.added_max_abs is None else self.added_max_abs

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "Hop":
        """One of the hops of parity.json."""
        if not row["compared"]:
            return cls(str(row["name"]), compared=False, reason=str(row["reason"]))
        return cls(
            name=str(row["name"]),
            compared=True,
            passed=bool(row["passed"]),
            max_abs=optional_float(row, "max_abs"),
            tolerance=float(row["tolerance"]),
            samples=optional_int(row, "samples"),
            mean_abs=optional_float(row, "mean_abs"),
            p999_abs=optional_float(row, "p999_abs"),
            cosine=optional_float(row, "cosine"),
            just_passes=optional_float(row, "just_passes"),
            added_max_abs=optional_float(row, "added_max_abs"),
            frames=optional_int(row, "frames"),
            frames_changed=optional_int(row, "frames_changed"),
            answers_changed=optional_int(row, "answers_changed"),
            near_ties=optional_int(row, "near_ties"),
            agreement=Figure.from_json(row.get("agreement")),
            accuracy=Figure.from_json(row.get("accuracy")),
        )


@dataclass(frozen=True)
class Ledger:
    """All hops of one bundle.

    Attributes:
        source: The file it was read from.
        hops: In the order of the way from the original to the batch.
        fault: A sentence that names the first node that departs; empty if nothing failed or nobody looked.
        truth: What every hop is compared with.
        bundle: Digest of the bundle that was compared; empty where the file does not say.
        remarks: What else a reader of the numbers should know, a sentence each.
    """

    source: str
    hops: tuple[Hop, ...]
    fault: str = ""
    truth: str = "original alone"
    bundle: str = ""
    remarks: tuple[str, ...] = ()

    @property
    def answer(self) -> str:
        """Where a difference comes in, in words."""
        compared = [hop for hop in self.hops if hop.compared]
        if not compared:
            return "Nobody knows: no hop was compared."
        broken = next((hop for hop in compared if not hop.passed), None)
        if broken is not None:
            return f'First in "{broken.name}": {broken.greatest}, allowed are {scientific(broken.tolerance)}.'
        largest = max(compared, key=lambda hop: hop.step or 0.0)
        if not largest.step:
            return "Nowhere: every hop gives exactly the same numbers."
        most = f'"{largest.name}" brings most, {scientific(largest.step)}'
        return f"Nowhere that matters: every hop compared is within its tolerance; {most}."

    @classmethod
    def from_json(cls, row: Mapping[str, Any], source: str) -> "Ledger":
        """The content of parity.json."""
        fault = row.get("fault")
        hops = tuple(Hop.from_json(hop) for hop in row["hops"])
        # An export names no truth: it is the original, unless the original was left out.
        usual = cls.truth if hops and hops[0].compared else "the bundle's own answers, one sample alone"
        return cls(
            source=source,
            hops=hops,
            fault="" if fault is None else str(fault["sentence"]),
            truth=str(row.get("truth", usual)),
            bundle=str(row.get("bundle", "")),
            remarks=tuple(_remarks(row)),
        )


def _remarks(row: Mapping[str, Any]) -> Iterator[str]:
    """What `inferry compare` says beside its numbers."""
    yield from (str(note) for note in row.get("notes", ()))
    left_out = [str(one["id"]) for one in row.get("left_out", ())]
    if left_out:
        more = f" and {len(left_out) - _NAMED:,} more" if len(left_out) > _NAMED else ""
        yield f"Not compared: {', '.join(left_out[:_NAMED])}{more}."
    if row.get("data") is not None:
        yield f"Samples from {row['data']}, which has {int(row['available']):,}."


_NAMED: Final = 5
"""Samples that are named; of more there is the number."""

_ROWS: Final[tuple[tuple[str, Callable[[Hop], str]], ...]] = (
    ("greatest difference", lambda hop: hop.greatest),
    ("added by this hop", lambda hop: scientific(hop.added_max_abs)),
    ("99.9th percentile", lambda hop: scientific(hop.p999_abs)),
    ("mean", lambda hop: scientific(hop.mean_abs)),
    ("tolerance", lambda hop: scientific(hop.tolerance)),
    ("tolerance that would just pass", lambda hop: scientific(hop.just_passes)),
    ("1 - cosine", lambda hop: scientific(None if hop.cosine is None else max(0.0, 1.0 - hop.cosine))),
    ("frames changed", lambda hop: NOTHING if hop.frames == hop.samples else _share(hop.frames_changed, hop.frames)),
    ("answers changed", lambda hop: _share(hop.answers_changed, hop.samples)),
    ("near ties", lambda hop: count(hop.near_ties)),
)


def ledger_section(labels: Sequence[str], ledgers: Sequence[Ledger | str]) -> Markup:
    """A picture and a table per ledger; a string says why a run has none."""
    sharing: dict[Ledger | str, list[str]] = {}
    for label, ledger in zip(labels, ledgers, strict=True):
        sharing.setdefault(ledger, []).append(label)
    parts = [
        join([*([element("h3", " and ".join(names))] if len(labels) > 1 else []), _one(ledger)])
        for ledger, names in sharing.items()
    ]
    return section("Parity ledger", "parity", element("p", "Where does a difference come in?"), *parts)


def _one(ledger: Ledger | str) -> Markup:
    if isinstance(ledger, str):
        return element("p", ledger, class_="missing")
    caption = (
        "Absolute differences from the truth on a logarithmic scale. Dot with a number: the greatest; ring: what the "
        "hop itself added, where that is another number; diamond: 99.9th percentile; thin stroke: mean; thick stroke: "
        "tolerance."
    )
    points = [
        {
            "name": hop.name,
            "verdict": hop.verdict,
            "max": hop.max_abs,
            "added": hop.added_max_abs,
            "mean": hop.mean_abs,
            "p999": hop.p999_abs,
            "tolerance": hop.tolerance,
            "reason": hop.reason,
        }
        for hop in ledger.hops
    ]
    fault = element("p", element("b", "First departure: "), ledger.fault, class_="fault") if ledger.fault else Markup()
    return join(
        [
            element("p", element("b", ledger.answer), *_unknown(ledger.hops), class_="answer"),
            fault,
            chart("ledger", points, caption),
            _numbers(ledger.hops),
            note(" ".join((f"The truth is: {ledger.truth}.", *ledger.remarks, f"From {ledger.source}."))),
        ]
    )


def _unknown(hops: Sequence[Hop]) -> tuple[str, ...]:
    """That an answer leaves hops out."""
    missing = sum(not hop.compared for hop in hops)
    return (f" {missing} of {len(hops)} hops {'was' if missing == 1 else 'were'} not compared.",) if missing else ()


def _numbers(hops: Sequence[Hop]) -> Markup:
    """A column a hop; what none of them has is left out."""
    rows = [
        (name, *(text(hop) for hop in hops))
        for name, text in _ROWS
        if any(hop.compared and text(hop) != NOTHING for hop in hops)
    ]
    rows += [*_figures([hop.agreement for hop in hops]), *_figures([hop.accuracy for hop in hops])]
    return table(["", *(f">{hop.name}" for hop in hops)], [("", *map(_verdict, hops)), *rows])


def _figures(figures: Sequence[Figure | None]) -> Iterator[tuple[str, ...]]:
    """A line under the figure's own name; none where no hop has it."""
    name = next((one.name for one in figures if one is not None), None)
    if name is not None:
        yield f"{name}, %", *(NOTHING if one is None else decimal(one.percent) for one in figures)


def _verdict(hop: Hop) -> Markup:
    verdict = element("span", hop.verdict, class_=f"verdict {hop.verdict.replace(' ', '-').lower()}")
    return join([verdict, note(hop.reason)]) if hop.reason else verdict


def _share(part: int | None, whole: int | None) -> str:
    return NOTHING if part is None else count(part) if whole is None else f"{part:,} of {whole:,}"
