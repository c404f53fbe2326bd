"""Ready-made regions from .npz and .npy files."""

from pathlib import Path

from inferry.core.arrays import read_array
from inferry.core.errors import SampleError
from inferry.core.samples import RegionFile, Regions
from inferry.core.specs import Array


def read_regions(file: RegionFile) -> Regions:
    """The regions of one picture; a leading batch dimension of 1, as many tools save it, is dropped.

    Whether the arrays fit together is for `region_inputs` to say.

    Args:
        file: Where the arrays lie. A .npz file without ``box_mask`` has valid boxes only.

    Raises:
        SampleError: Stage ``read``; a file or an array is missing, broken or pickled.
    """
    features = _array(file.box_features, "box_features", dimensions=2)
    coordinates = _array(file.box_coordinates, "box_coordinates", dimensions=2)
    return Regions(features, coordinates, None if file.box_mask is None else _mask(file.box_mask))


def count_regions(file: RegionFile) -> int:
    """How many regions there are, from their coordinates alone: the features are much larger.

    Raises:
        SampleError: As `read_regions`.
    """
    coordinates = _array(file.box_coordinates, "box_coordinates", dimensions=2)
    return len(coordinates) if coordinates.ndim else 0


def _mask(path: Path) -> Array | None:
    try:
        return _array(path, "box_mask", dimensions=1)
    except SampleError as error:
        if isinstance(error.__cause__, KeyError):
            return None
        raise


def _array(path: Path, name: str, dimensions: int) -> Array:
    try:
        array = read_array(path, name)
    except (KeyError, ValueError) as error:
        raise SampleError("read", f"{path} {error.args[0]}") from error
    return array[0] if array.ndim == dimensions + 1 and len(array) == 1 else array
