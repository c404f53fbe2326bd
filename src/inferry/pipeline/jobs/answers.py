"""Outputs of a job to the answers of its samples."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from inferry.core.bundle import PROCESSOR, Bundle
from inferry.core.errors import RunError, SampleError
from inferry.core.protocols import Cutter, Decoder, Decoding, Window
from inferry.core.samples import AudioFile, Rejected
from inferry.core.specs import Array, TensorSpec
from inferry.core.tolerances import NEAR_TIE
from inferry.models.registry import get_recipe
from inferry.pipeline.answer import answer_row
from inferry.pipeline.execution import require_finite, separate
from inferry.pipeline.jobs.folder import JobSample, Place
from inferry.pipeline.jobs.returned import Returned


@dataclass(frozen=True)
class Answered:
    """The answer of one sample.

    Attributes:
        row: Of predictions.jsonl, or of errors.jsonl.
        near_tie: Whether two scores are so near that the rounding of padding and batching could decide between them.
    """

    row: dict[str, Any] | Rejected
    near_tie: bool = False


class Answers:
    """Decodes what came back.

    Args:
        bundle: Says how.
        returned: By part and batch size, as `open_returned` gives it.
        decoding: As for `infer`.
    """

    def __init__(
        self, bundle: Bundle, returned: Mapping[str, Mapping[int, Returned]], decoding: Decoding | None = None
    ) -> None:
        recipe, config, files = get_recipe(bundle.manifest.family), bundle.read_json(PROCESSOR), bundle.text_files()
        self._decoder: Decoder = recipe.decoder(config, files, decoding or Decoding())
        self._cutter: Cutter | None = None if recipe.cutter is None else recipe.cutter(config)
        self._returned = returned

    def answer(self, sample: JobSample, batch: int | None = None) -> Answered:
        """The answer of a sample.

        Args:
            sample: Of the job.
            batch: Whose outputs are read; the smallest batch size that ran where a part has none of it, and for None.

        Raises:
            RunError: A file is broken.
        """
        try:
            if sample.answer is not None:
                answer, near = sample.answer, False
            else:
                pieces = [self._outputs(place, batch) for place in sample.pieces]
                near = any(self._decoder.margin(piece) <= NEAR_TIE for piece in pieces)
                answer = self._decoder.decode(self._joined(sample, pieces)).to_json()
        except SampleError as error:
            return Answered(Rejected(sample.id, sample.path, error.stage, error.reason))
        row = answer_row(
            sample.id,
            answer,
            sample.reference,
            windows=len(sample.pieces),
            regions=sample.regions,
            seconds=sample.seconds,
        )
        return Answered(row, near)

    def has_other(self, sample: JobSample, batch: int) -> bool:
        """Whether a batch size gives outputs of the sample that `answer` without one does not read."""
        return any(batch in (ran := self._ran(place)) and batch != min(ran) for place in sample.pieces)

    def _ran(self, place: Place) -> Mapping[int, Returned]:
        if place.folder not in self._returned:
            raise RunError(f"samples.jsonl names the folder {place.folder}, which job.json does not: preprocess again")
        return self._returned[place.folder]

    def _outputs(self, place: Place, batch: int | None) -> dict[str, Array]:
        """Outputs of one piece, cut to their true length."""
        ran = self._ran(place)
        files = ran[min(ran) if batch is None or batch not in ran else batch].files
        found = {name: _wide(value)[None] for name, value in files.read(place.file).items()}
        _require_whole(found, files.specs, files.folder / files.name(place.file, 0))
        (outputs,) = separate(found, files.specs)
        require_finite(outputs)
        if place.silent:
            assert self._cutter is not None, "only windows are silent pieces"
            return self._cutter.empty(outputs)
        return outputs

    def _joined(self, sample: JobSample, pieces: Sequence[dict[str, Array]]) -> Mapping[str, Array]:
        if len(pieces) == 1:
            return pieces[0]
        assert self._cutter is not None, "only sounds have several pieces"
        source = AudioFile(Path(sample.path))
        return self._cutter.join([Window(source, place.start) for place in sample.pieces], pieces)


def _wide(value: Array) -> Array:
    """Half floats as floats, as the decoders take them; every half float is one."""
    return value.astype(np.float32) if value.dtype == np.float16 else value


def _require_whole(outputs: Mapping[str, Array], specs: Sequence[TensorSpec], path: Path) -> None:
    """Outputs must be as long as they say: what is cut would else be shortened in silence.

    Raises:
        RunError: They are not.
    """
    for spec in specs:
        if spec.length is None:
            continue
        (axis,) = spec.dynamic_axes
        size, said = outputs[spec.name].shape[axis], int(outputs[spec.length][0])
        if not 0 <= said <= size:
            raise RunError(f"{path}: {spec.length} says {said} of {spec.name}, and the file holds {size}")
