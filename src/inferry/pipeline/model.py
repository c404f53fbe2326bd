"""A bundle opened for use: from samples to raw outputs and predictions."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from math import isfinite
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

from inferry.core.bundle import PROCESSOR, Bundle, open_bundle
from inferry.core.compiled import Compiled
from inferry.core.errors import UsageError
from inferry.core.protocols import MAX_SECONDS, Decoding, Runner, Session, SessionOptions, Window
from inferry.core.samples import Features, Prediction, Source
from inferry.core.specs import Array
from inferry.core.tolerances import NEAR_TIE
from inferry.models.registry import get_recipe
from inferry.pipeline.execution import batch_shapes, collate, planned_size, require_finite, separate
from inferry.pipeline.parts import opened_parts, usable
from inferry.pipeline.pieces import Piece, Pieces
from inferry.planning.make import read_plan
from inferry.planning.plan import ShapePlan

SampleLike = Source | str | Path | Array
"""A path stands for the file it names, an array for a picture."""

_SHORTEST_WINDOW = 1.0
"""Seconds: what two windows share must hold some frames."""


class Model:
    """An opened bundle. Use it as a context manager or `close` it.

    Args:
        bundle: The bundle.
        backend: Its name.
        options: Precision and threads.
        plan: `infer` and `predict` pad to its buckets, as on a backend that compiles them; None to pad no more than a
            batch needs.
        decoding: How outputs become answers; None for the original's way.
        max_seconds: Longer sounds run in overlapping windows of this length; 0 to cut none.
        network: False to prepare samples only; then what the processor needs (a region detector) is opened, no more.

    Raises:
        UsageError: Unknown family or backend, or windows that are too short.
        BackendError: The backend is not installed or cannot open the bundle so.
    """

    def __init__(
        self,
        bundle: Bundle,
        backend: str,
        options: SessionOptions,
        plan: ShapePlan | None = None,
        *,
        decoding: Decoding | None = None,
        max_seconds: float = MAX_SECONDS,
        network: bool = True,
    ) -> None:
        _check_seconds(max_seconds)
        recipe = get_recipe(bundle.manifest.family)
        config, files = bundle.read_json(PROCESSOR), bundle.text_files()
        self.bundle = bundle
        self._plan = plan
        self._decoding = decoding or Decoding()
        self._max_seconds = max_seconds
        self._cutter = None if recipe.cutter is None or not max_seconds else recipe.cutter(config)
        self.decoder = recipe.decoder(config, files, self._decoding)
        runtime = usable(backend)
        with ExitStack() as opened:
            parts = opened.enter_context(opened_parts(bundle, runtime, options))
            self._elsewhere = parts if getattr(runtime, "parts_on", None) else {}
            self.parts: Mapping[str, Runner] = parts
            self.processor = recipe.processor(config, files, parts)
            self._session: Session = runtime.open(bundle.model, options) if network else _Unopened()
            opened.callback(self._session.close)
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the backend's memory."""
        self._opened.close()

    def signature(self) -> dict[str, Any]:
        """The backend's part of a number's signature, and what runs the further graphs where that is another one."""
        return self._session.signature() | {name: part.signature() for name, part in self._elsewhere.items()}

    @property
    def compiled(self) -> Compiled | None:
        """The compiled artifact that runs, and so the shapes that can; None where any shape runs."""
        found: Compiled | None = getattr(self._session, "compiled", None)
        return found

    def run_batch(self, features: Sequence[Features], pad_to: int | None = None) -> list[dict[str, Array]]:
        """Raw outputs of one batch, a dictionary a sample, cut to the true length.

        Args:
            features: One sample a row.
            pad_to: Least size along the planned axis.
        """
        manifest = self.bundle.manifest
        outputs = self._session.run(collate(features, manifest.inputs, pad_to))
        return separate(outputs, manifest.outputs)

    def padded_size(self, features: Sequence[Features], pad_to: int | None = None) -> tuple[int, int]:
        """Rows, and size along the planned axis, that `run_batch` computes: on fixed shapes more than was asked for."""
        inputs = self.bundle.manifest.inputs
        shapes = batch_shapes(features, inputs, pad_to)
        padded = getattr(self._session, "padded", None)
        return planned_size(shapes if padded is None else padded(shapes), inputs)

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs of one batch, as the graph takes and gives it.

        Raises:
            BackendError: The runtime refused.
        """
        return self._session.run(inputs)

    def is_settled(self, outputs: Mapping[str, Array]) -> bool:
        """Whether an answer from a padded batch cannot differ from the sample's own.

        A search adds up the scores of all frames, and with them the rounding noise of a batch: none is ever settled.
        """
        return self._decoding.greedy and self.decoder.margin(outputs) > NEAR_TIE

    def cut(self, sample: SampleLike) -> tuple[Window, ...]:
        """The windows that a sample runs in; one, the sample itself, if it is no longer than `max_seconds`.

        Raises:
            SampleError: The sample is bad.
        """
        source = self.processor.source(sample)
        return (Window(source),) if self._cutter is None else self._cutter.cut(source, self._max_seconds)

    def join(self, windows: Sequence[Window], outputs: Sequence[Mapping[str, Array]]) -> Mapping[str, Array]:
        """The outputs of a whole sample from those of its windows.

        Raises:
            SampleError: The windows leave a gap.
        """
        assert self._cutter is not None, "nothing was cut"
        return self._cutter.join(windows, outputs)

    def checked(self, piece: Piece, features: Features, outputs: Mapping[str, Array]) -> Mapping[str, Array]:
        """A piece's outputs as they may be decoded or joined; a silent window has none, whatever the network says.

        Raises:
            SampleError: A number is not finite.
        """
        require_finite(outputs)
        if piece.cut and features.answer is not None:
            assert self._cutter is not None, "nothing was cut"
            return self._cutter.empty(outputs)
        return outputs

    def infer(
        self, samples: Sequence[SampleLike], batch_size: int | None = None, pad_to: int | None = None
    ) -> list[dict[str, Array]]:
        """Raw outputs per sample, named as in the graph and cut to the true length.

        Args:
            samples: What the task takes: sounds (those longer than `max_seconds` run in windows), pictures or
                questions.
            batch_size: Samples or windows a batch, in the given order; None for one at a time, unpadded.
            pad_to: Pad every batch at least to this length (for tests of invariance).

        Returns:
            Per sample, for speech ``logits`` (frames, vocabulary) float32 and ``output_lengths`` () int64, for pictures
            ``logits`` (classes,), for questions ``logits`` and ``probs`` (answers,).

        Raises:
            SampleError: A sample is bad.
        """
        results, pieces = [], Pieces(self.join)
        for piece, features, outputs, _ in self._run(samples, _checked_size(batch_size), pad_to):
            said = self.checked(piece, features, outputs) if piece.cut else outputs
            if (whole := pieces.add(piece, said, features.seconds)) is not None:
                results.append(dict(whole.outputs))
        return results

    def predict(
        self, samples: Sequence[SampleLike], batch_size: int | None = None, *, detailed: bool = False
    ) -> list[Prediction]:
        """Decoded answers, the same for every batch size.

        Args:
            samples: As for `infer`.
            batch_size: As for `infer`.
            detailed: With the words' times and confidences, or the scores of classes and answers; these carry the
                rounding noise of a batch.

        Raises:
            SampleError: A sample is bad.
        """
        size = _checked_size(batch_size) if self._decoding.greedy else 1
        results: list[Prediction] = []
        pieces = Pieces(self.join)
        for piece, features, outputs, alone in self._run(samples, size, None):
            if features.answer is not None and not piece.cut:
                results.append(replace(features.answer, words=()) if detailed else features.answer)
                continue
            said = self.checked(piece, features, outputs)
            if not alone and not self.is_settled(said):
                said = self.checked(piece, features, *self.run_batch([features]))
            if (whole := pieces.add(piece, said, features.seconds)) is not None:
                results.append(self.decoder.decode(whole.outputs, detailed=detailed))
        return results

    def _run(
        self, samples: Sequence[SampleLike], size: int, pad_to: int | None
    ) -> Iterator[tuple[Piece, Features, Mapping[str, Array], bool]]:
        """Pieces in order, their features and outputs, and whether each ran alone and unpadded."""
        if isinstance(samples, str) or not isinstance(samples, Sequence):
            raise UsageError(f"samples are given as a list, not as one {type(samples).__name__}: write [sample]")
        cut = [self.cut(sample) for sample in samples]
        pieces = [Piece(index, windows, place) for index, windows in enumerate(cut) for place in range(len(windows))]
        for start in range(0, len(pieces), size):
            batch = pieces[start : start + size]
            features = [self.processor.process(piece.source) for piece in batch]
            padded = pad_to or self._bucket(features)
            alone = len(batch) == 1 and padded in {None, features[0].length}
            for piece, one, outputs in zip(batch, features, self.run_batch(features, padded), strict=True):
                yield piece, one, outputs, alone

    def _bucket(self, features: Sequence[Features]) -> int | None:
        """Length of the plan's bucket for a batch; None without a plan, or where no bucket is long enough."""
        bucket = None if self._plan is None else self._plan.bucket_for(max(one.length for one in features))
        return None if bucket is None else bucket.length


class _Unopened:
    """Stands where nobody asks the network."""

    def run(self, inputs: Mapping[str, Array]) -> NoReturn:
        raise AssertionError(f"opened without its network, and asked for {', '.join(inputs)}")

    def signature(self) -> dict[str, Any]:
        return {}

    def close(self) -> None:
        """Nothing is held."""


def _check_seconds(max_seconds: float) -> None:
    if not isfinite(max_seconds) or (max_seconds != 0 and max_seconds < _SHORTEST_WINDOW):
        raise UsageError(
            f"--max-seconds is {max_seconds:g}; a window has at least {_SHORTEST_WINDOW:g} s, and 0 cuts nothing"
        )


def _checked_size(batch_size: int | None) -> int:
    if batch_size is not None and batch_size < 1:
        raise UsageError(f"the batch size must be at least 1, not {batch_size}")
    return batch_size or 1


def load(
    bundle: str | Path,
    backend: str = "onnxruntime",
    precision: str = "fp32",
    threads: int | None = None,
    plan: str | Path | None = None,
    *,
    decoding: Decoding | None = None,
    max_seconds: float = MAX_SECONDS,
) -> Model:
    """Open a bundle.

    Args:
        bundle: Its folder.
        backend: Name of a backend.
        precision: ``fp32``; what a bundle was compiled for on a backend that compiles.
        threads: Intra-operator threads, None for as many as the process may use.
        plan: A plan file (of ``inferry plan --output``) whose buckets batches are padded to.
        decoding: How outputs become answers; None for the original's way.
        max_seconds: Longer sounds run in overlapping windows of this length; 0 to cut none.
    """
    shapes = None if plan is None else read_plan(Path(plan))
    options = SessionOptions(precision, threads)
    return Model(open_bundle(bundle), backend, options, shapes, decoding=decoding, max_seconds=max_seconds)
