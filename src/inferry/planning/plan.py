"""The shape plan: the few padded lengths worth compiling, and how many samples run together in each."""

from bisect import bisect_left
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from inferry.planning.histogram import LengthSummary
from inferry.planning.plan_fields import Fields

SCHEMA_VERSION = 1
"""Of plan files."""


@dataclass(frozen=True, slots=True)
class Bucket:
    """One padded length.

    Attributes:
        length: In elements along the plan's axis.
        count: Samples that the plan was made from and that fall into it.
        batch_size: Most samples that run together in it.
    """

    length: int
    count: int
    batch_size: int


@dataclass(frozen=True, slots=True)
class ShapePlan:
    """How a data set is cut into batches of few shapes.

    Attributes:
        axis: Symbolic name of the input axis that is padded (``samples`` or ``time``).
        buckets: Ascending by length; empty where a batch is padded to its longest sample.
        batch_size: Most samples in a batch.
        max_padded: Most padded elements (rows times padded length) in a batch of more than one sample; None for no cap.
        histogram: The lengths that the plan was made from.
        padded_to_real: Padded over real elements of those lengths, 1 or more.
    """

    axis: str
    buckets: tuple[Bucket, ...]
    batch_size: int
    max_padded: int | None
    histogram: LengthSummary
    padded_to_real: float

    @property
    def count(self) -> int:
        """Samples that the plan was made from."""
        return self.histogram.count

    @property
    def single_shape_ratio(self) -> float:
        """Padded over real elements if every sample were padded to the longest: what the plan saves."""
        return self.histogram.longest * self.histogram.count / self.histogram.total

    @property
    def signature(self) -> str:
        """The decisions in one line, for run signatures."""
        shapes = ",".join(f"{bucket.length}x{bucket.batch_size}" for bucket in self.buckets) or "dynamic"
        return f"{self.axis}|shapes:{shapes}|batch:{self.batch_size}|max_padded:{self.max_padded or 'none'}"

    def bucket_for(self, length: int) -> Bucket | None:
        """The smallest bucket that holds a sample of this length; None if there is none."""
        place = bisect_left(self.buckets, length, key=lambda bucket: bucket.length)
        return self.buckets[place] if place < len(self.buckets) else None

    def to_json(self) -> dict[str, Any]:
        """The content of a plan file; `from_json` inverts it."""
        return {
            "schema_version": SCHEMA_VERSION,
            "axis": self.axis,
            "buckets": [asdict(bucket) for bucket in self.buckets],
            "batch_size": self.batch_size,
            "max_padded": self.max_padded,
            "histogram": self.histogram.to_json(),
            "padded_to_real": self.padded_to_real,
        }

    @classmethod
    def from_json(cls, value: object) -> "ShapePlan":
        """Inverse of `to_json`.

        Raises:
            UsageError: The value is no plan of this schema; all problems are listed.
        """
        fields = Fields(value, "plan")
        if fields.integer("schema_version", least=1) != SCHEMA_VERSION:
            fields.problem(f"schema_version must be {SCHEMA_VERSION}")
        plan = cls(
            axis=fields.text("axis"),
            buckets=tuple(_bucket(row) for row in fields.rows("buckets")),
            batch_size=fields.integer("batch_size", least=1),
            max_padded=fields.integer("max_padded", least=1) if fields.has_value("max_padded") else None,
            histogram=_summary(fields.part("histogram")),
            padded_to_real=fields.number("padded_to_real", least=1.0),
        )
        lengths = [bucket.length for bucket in plan.buckets]
        if lengths != sorted(set(lengths)):
            fields.problem(f"buckets must have ascending, distinct lengths, not {lengths}")
        fields.finish("Make it again with `inferry plan`")
        return plan


def rows_within(length: int, batch_size: int, max_padded: int | None) -> int:
    """Samples of a padded length that fit into one batch: at least one, so that nothing is ever dropped."""
    return batch_size if max_padded is None else max(1, min(batch_size, max_padded // length))


def _bucket(fields: Fields) -> Bucket:
    return Bucket(
        fields.integer("length", least=1), fields.integer("count", least=0), fields.integer("batch_size", least=1)
    )


def _summary(fields: Fields) -> LengthSummary:
    names = ("count", "total", "shortest", "median", "p90", "p99", "longest")
    values: Mapping[str, int] = {name: fields.integer(name, least=1) for name in names}
    return LengthSummary(**values)
