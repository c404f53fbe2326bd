"""The shape plan: few shapes, little padding."""

from inferry.planning.batch_size import BatchChoice, BatchMeasurement, choose_batch_size
from inferry.planning.batches import Batch, Packing, pack_batches, padding_in_given_order
from inferry.planning.buckets import QuadraticCost, linear_cost, optimal_buckets
from inferry.planning.histogram import Bin, LengthHistogram, LengthSummary
from inferry.planning.make import make_plan, read_plan, write_plan
from inferry.planning.plan import Bucket, ShapePlan

__all__ = [
    "Batch",
    "BatchChoice",
    "BatchMeasurement",
    "Bin",
    "Bucket",
    "LengthHistogram",
    "LengthSummary",
    "Packing",
    "QuadraticCost",
    "ShapePlan",
    "choose_batch_size",
    "linear_cost",
    "make_plan",
    "optimal_buckets",
    "pack_batches",
    "padding_in_given_order",
    "read_plan",
    "write_plan",
]
