"""Data set layouts: what samples there are."""

from inferry.datasets.an4 import clean_an4_transcript
from inferry.datasets.registry import LAYOUTS, Layout, open_dataset

__all__ = ["LAYOUTS", "Layout", "clean_an4_transcript", "open_dataset"]
