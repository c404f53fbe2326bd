"""A bundle opened for use: from samples to raw outputs and predictions."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from inferry.backends.registry import get_backend
from inferry.core.bundle import PROCESSOR, Bundle, open_bundle
from inferry.core.errors import BackendError, UsageError
from inferry.core.protocols import Decoding, SessionOptions
from inferry.core.samples import Audio, AudioFile, Features, Prediction, Source
from inferry.core.specs import Array
from inferry.core.tolerances import NEAR_TIE
from inferry.models.registry import get_recipe
from inferry.pipeline.execution import collate, require_finite, separate
from inferry.planning.make import read_plan
from inferry.planning.plan import ShapePlan

SampleLike = Source | str | Path
"""A path stands for the file it names."""


class Model:
    """An opened bundle. Use it as a context manager or `close` it.

    Args:
        bundle: The bundle.
        backend: Its name.
        options: Precision and threads.
        plan: `infer` and `predict` pad to its buckets, as on a backend that compiles them; None to pad no more than a
            batch needs.
        decoding: How outputs become answers; None for the original's way.

    Raises:
        UsageError: Unknown family or backend.
        BackendError: The backend is not installed or cannot open the bundle so.
    """

    def __init__(
        self,
        bundle: Bundle,
        backend: str,
        options: SessionOptions,
        plan: ShapePlan | None = None,
        decoding: Decoding | None = None,
    ) -> None:
        recipe = get_recipe(bundle.manifest.family)
        config, files = bundle.read_json(PROCESSOR), bundle.text_files()
        self.bundle = bundle
        self._plan = plan
        self.processor = recipe.processor(config, files)
        self.decoder = recipe.decoder(config, files, decoding or Decoding())
        runtime = get_backend(backend)
        if (missing := runtime.missing()) is not None:
            raise BackendError(f"backend {backend} cannot be used: {missing}")
        self._session = runtime.open(bundle.model, options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the backend's memory."""
        self._session.close()

    def signature(self) -> dict[str, Any]:
        """The backend's part of a number's signature."""
        return self._session.signature()

    def run_batch(self, features: Sequence[Features], pad_to: int | None = None) -> list[dict[str, Array]]:
        """Raw outputs of one batch, a dictionary a sample, cut to the true length.

        Args:
            features: One sample a row.
            pad_to: Least size along the planned axis.
        """
        manifest = self.bundle.manifest
        outputs = self._session.run(collate(features, manifest.inputs, pad_to))
        return separate(outputs, manifest.outputs)

    def is_settled(self, outputs: Mapping[str, Array]) -> bool:
        """Whether an answer from a padded batch cannot differ from the sample's own."""
        return self.decoder.margin(outputs) > NEAR_TIE

    def infer(
        self, samples: Sequence[SampleLike], batch_size: int | None = None, pad_to: int | None = None
    ) -> list[dict[str, Array]]:
        """Raw outputs per sample, named as in the graph and cut to the true length.

        Args:
            samples: Audio files or `Audio`.
            batch_size: Samples a batch, in the given order; None for one at a time, unpadded.
            pad_to: Pad every batch at least to this length (for tests of invariance).

        Returns:
            For speech: ``logits`` (frames, vocabulary) float32 and ``output_lengths`` () int64, per sample.

        Raises:
            SampleError: A sample is bad.
        """
        size = _checked_size(batch_size)
        results: list[dict[str, Array]] = []
        for start in range(0, len(samples), size):
            features = [self.processor.process(as_source(s)) for s in samples[start : start + size]]
            results += self.run_batch(features, pad_to or self._bucket(features))
        return results

    def _bucket(self, features: Sequence[Features]) -> int | None:
        """Length of the plan's bucket for a batch; None without a plan, or where no bucket is long enough."""
        bucket = None if self._plan is None else self._plan.bucket_for(max(one.length for one in features))
        return None if bucket is None else bucket.length

    def predict(
        self, samples: Sequence[SampleLike], batch_size: int | None = None, *, detailed: bool = False
    ) -> list[Prediction]:
        """Decoded answers, the same for every batch size.

        Args:
            samples: As for `infer`.
            batch_size: As for `infer`.
            detailed: With the words' times and confidences; these carry the rounding noise of a batch.

        Raises:
            SampleError: A sample is bad.
        """
        size = _checked_size(batch_size)
        results: list[Prediction] = []
        for start in range(0, len(samples), size):
            features = [self.processor.process(as_source(s)) for s in samples[start : start + size]]
            bucket = self._bucket(features)
            outputs = self.run_batch(features, bucket)
            alone = len(features) == 1 and bucket in {None, features[0].length}
            results += [
                self._answer(f, o, alone=alone, detailed=detailed) for f, o in zip(features, outputs, strict=True)
            ]
        return results

    def _answer(self, features: Features, outputs: Mapping[str, Array], *, alone: bool, detailed: bool) -> Prediction:
        if features.answer is not None:
            return replace(features.answer, words=()) if detailed else features.answer
        require_finite(outputs)
        if not alone and not self.is_settled(outputs):
            (outputs,) = self.run_batch([features])
        return self.decoder.decode(outputs, detailed=detailed)


def _checked_size(batch_size: int | None) -> int:
    if batch_size is not None and batch_size < 1:
        raise UsageError(f"the batch size must be at least 1, not {batch_size}")
    return batch_size or 1


def as_source(sample: SampleLike) -> Source:
    """A path becomes the file it names; everything else passes.

    Raises:
        UsageError: It is nothing that a sample can be.
    """
    if isinstance(sample, (str, Path)):
        return AudioFile(Path(sample))
    if isinstance(sample, (Audio, AudioFile)):
        return sample
    raise UsageError(f"a sample is a path or inferry.Audio, not {type(sample).__name__}")


def load(
    bundle: str | Path,
    backend: str = "onnxruntime",
    precision: str = "fp32",
    threads: int | None = None,
    plan: str | Path | None = None,
) -> Model:
    """Open a bundle.

    Args:
        bundle: Its folder.
        backend: Name of a backend.
        precision: ``fp32``.
        threads: Intra-operator threads, None for as many as the process may use.
        plan: A plan file (of ``inferry plan --output``) whose buckets batches are padded to.
    """
    shapes = None if plan is None else read_plan(Path(plan))
    return Model(open_bundle(bundle), backend, SessionOptions(precision, threads), shapes)
