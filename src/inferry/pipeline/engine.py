"""The moving parts of inference: processing runs ahead of the network, decoding behind it, both bounded."""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from inferry.core.errors import BackendError, SampleError
from inferry.core.runs import Journal
from inferry.core.samples import Features, Prediction, Rejected, Sample, Source, path_of
from inferry.core.specs import Array
from inferry.datasets.rows import printable
from inferry.pipeline.answer import answer_row
from inferry.pipeline.model import Model
from inferry.pipeline.pieces import Outputs, Piece, Pieces

_DECODING_BATCHES = 4
"""Batches that may wait for the decoder before the network waits for it."""


@dataclass(frozen=True)
class Batch:
    """Pieces that run together.

    Attributes:
        pieces: Whole samples and windows of long ones.
        pad_to: Length of the bucket, None to pad to the longest piece.
    """

    pieces: tuple[Piece, ...]
    pad_to: int | None = None


@dataclass
class Tally:
    """What a run has done so far. Stages are busy seconds and overlap; they do not add up to the wall time.

    `total_units` and `done_units` are as planned; `valid_units` and `padded_units` are what the network really saw.
    """

    total: int = 0
    done: int = 0
    resumed: int = 0
    quarantined: int = 0
    settled_alone: int = 0
    batches: int = 0
    audio_seconds: float = 0.0
    total_units: int = 0
    done_units: int = 0
    valid_units: int = 0
    padded_units: int = 0
    stages: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("read", "features", "infer", "decode"), 0.0)
    )
    started: float = field(default_factory=perf_counter)

    @property
    def elapsed(self) -> float:
        """Wall seconds since the start."""
        return perf_counter() - self.started

    @property
    def padding_waste(self) -> float:
        """Fraction of what the network computed that was padding."""
        return 1.0 - self.valid_units / self.padded_units if self.padded_units else 0.0

    def to_json(self) -> dict[str, Any]:
        """The measured part of timings.json, for this session of the run."""
        wall = self.elapsed
        return {
            "wall_seconds": wall,
            "samples": self.done,
            "quarantined": self.quarantined,
            "batches": self.batches,
            "settled_alone": self.settled_alone,
            "audio_seconds": self.audio_seconds,
            "audio_seconds_per_second": self.audio_seconds / wall if wall else 0.0,
            "padding_waste": self.padding_waste,
            "stage_seconds": dict(self.stages),
        }


@dataclass(frozen=True)
class _Processed:
    """A piece with its features or its problem; with neither where the sample has failed already."""

    piece: Piece
    features: Features | None = None
    problem: SampleError | None = None
    read_seconds: float = 0.0
    features_seconds: float = 0.0


class Engine:
    """Runs batches through a model and writes each answer to the journal.

    Args:
        model: An opened bundle.
        items: The data set; batches name its indices.
        journal: Takes the answers. Written by the decoding thread only, while `run` is active.
        workers: Threads that read and process.
        tally: Is kept up to date.
        progress: Called after each batch, in the calling thread.
    """

    def __init__(
        self,
        model: Model,
        items: Sequence[Sample | Rejected],
        journal: Journal,
        *,
        workers: int,
        tally: Tally,
        progress: Callable[[Tally], None] | None = None,
    ) -> None:
        self._model = model
        self._items = items
        self._journal = journal
        self._workers = workers
        self._tally = tally
        self._progress = progress
        self._pieces = Pieces(model.join)
        self._decoding: deque[Future[list[_Processed]]] = deque()

    def run(self, batches: Iterable[Batch]) -> None:
        """Answer or quarantine every sample of the batches.

        On an interruption nothing is lost but the batches in flight; the journal stays whole.
        """
        readers = ThreadPoolExecutor(self._workers, "process")
        decoder = ThreadPoolExecutor(1, "decode")
        try:
            for batch, processed in self._processed_ahead(readers, batches):
                self._submit(decoder, batch, processed)
                self._settle(decoder, keep=_DECODING_BATCHES)
                if self._progress is not None:
                    self._progress(self._tally)
            self._settle(decoder, keep=0)
        finally:
            readers.shutdown(cancel_futures=True)
            decoder.shutdown()
        if self._progress is not None:
            self._progress(self._tally)

    def _processed_ahead(
        self, readers: ThreadPoolExecutor, batches: Iterable[Batch]
    ) -> Iterable[tuple[Batch, list[_Processed]]]:
        """Batches with their features, in order; at most a few samples more than the workers hold are in memory."""
        waiting: deque[tuple[Batch, list[Future[_Processed]]]] = deque()
        ahead = 0
        for batch in batches:
            waiting.append((batch, [readers.submit(self._process, piece) for piece in batch.pieces]))
            ahead += len(batch.pieces)
            while len(waiting) > 1 and ahead > 2 * self._workers + len(waiting[0][0].pieces):
                first, futures = waiting.popleft()
                ahead -= len(futures)
                yield first, [future.result() for future in futures]
        while waiting:
            first, futures = waiting.popleft()
            yield first, [future.result() for future in futures]

    def _process(self, piece: Piece) -> _Processed:
        if piece.index in self._journal:
            return _Processed(piece)
        features, problem = None, None
        times = [perf_counter()]
        try:
            source = self._model.processor.read(piece.source)
            times.append(perf_counter())
            features = self._model.processor.process(source)
        except SampleError as error:
            problem = error
        except Exception as error:  # noqa: BLE001 -- one sample must not end a run of a million; it is not silent
            problem = SampleError("process", f"unexpected {type(error).__name__}: {error} (please report this)")
        times.append(perf_counter())
        return _Processed(piece, features, problem, times[1] - times[0], times[-1] - times[1])

    def _submit(self, decoder: ThreadPoolExecutor, batch: Batch, processed: Sequence[_Processed]) -> None:
        """Run what needs the network and hand everything to the decoding thread."""
        self._tally.stages["read"] += sum(one.read_seconds for one in processed)
        self._tally.stages["features"] += sum(one.features_seconds for one in processed)
        self._tally.done_units += sum(one.piece.length for one in processed)
        rows = [one for one in processed if _needs_network(one)]
        others = [one for one in processed if not _needs_network(one)]
        outputs, failed = self._outputs(rows, batch.pad_to)
        # With one row the length is its own, unless it was padded up to a bucket.
        alone = len(rows) == 1 and batch.pad_to in {None, _length(rows[0])}
        self._decoding.append(decoder.submit(self._decode, [*others, *failed], rows, outputs, alone=alone))

    def _outputs(self, rows: list[_Processed], pad_to: int | None) -> tuple[list[dict[str, Array]], list[_Processed]]:
        """Outputs of a batch; a batch that fails is tried one by one, so that one sample cannot spoil the others.

        `rows` loses those that fail even alone.
        """
        if not rows:
            return [], []
        features = [one.features for one in rows if one.features is not None]
        start = perf_counter()
        try:
            outputs = self._model.run_batch(features, pad_to)
        except BackendError as error:
            if len(rows) == 1:
                failure = _Processed(rows[0].piece, problem=SampleError("infer", str(error)))
                rows.clear()
                return [], [failure]
            return self._one_by_one(rows)
        self._tally.stages["infer"] += perf_counter() - start
        self._count(features, pad_to)
        return outputs, []

    def _one_by_one(self, rows: list[_Processed]) -> tuple[list[dict[str, Array]], list[_Processed]]:
        good, outputs, failed = [], [], []
        for one in rows:
            single = [one]
            output, failure = self._outputs(single, None)
            outputs += output
            failed += failure
            good += single
        rows[:] = good
        return outputs, failed

    def _count(self, features: Sequence[Features], pad_to: int | None) -> None:
        rows, length = self._model.padded_size(features, pad_to)
        self._tally.batches += 1
        self._tally.valid_units += sum(one.length for one in features)
        self._tally.padded_units += rows * length

    def _decode(
        self,
        others: Sequence[_Processed],
        rows: Sequence[_Processed],
        outputs: Sequence[dict[str, Array]],
        *,
        alone: bool,
    ) -> list[_Processed]:
        """Write answers; return those pieces whose answer only a run alone can settle."""
        start = perf_counter()
        unsettled = []
        for one in others:
            if one.problem is not None:
                self._quarantine(one.piece, one.problem)
            elif one.features is not None and one.features.answer is not None:
                self._answer(one, one.features.answer, one.features.seconds)
        for one, output in zip(rows, outputs, strict=True):
            try:
                if not self._decoded(one, output, alone=alone):
                    unsettled.append(one)
            except SampleError as error:
                self._quarantine(one.piece, error)
        self._tally.stages["decode"] += perf_counter() - start
        return unsettled

    def _decoded(self, one: _Processed, outputs: Outputs, *, alone: bool) -> bool:
        """Take a piece's outputs, and answer a sample that has all of them; False if they are not settled."""
        assert one.features is not None, "rows have features"
        if one.piece.index in self._journal:
            return True
        outputs = self._model.checked(one.piece, one.features, outputs)
        if not alone and not self._model.is_settled(outputs):
            return False
        whole = self._pieces.add(one.piece, outputs, one.features.seconds)
        if whole is not None:
            self._answer(one, self._model.decoder.decode(whole.outputs), whole.seconds)
        return True

    def _settle(self, decoder: ThreadPoolExecutor, keep: int) -> None:
        """Wait until at most `keep` batches are being decoded; run again alone what they could not settle."""
        while len(self._decoding) > keep:
            for one in self._decoding.popleft().result():
                self._tally.settled_alone += 1
                rows = [one]
                outputs, failed = self._outputs(rows, None)
                self._decoding.append(decoder.submit(self._decode, failed, rows, outputs, alone=True))

    def _answer(self, one: _Processed, answer: Prediction, seconds: float | None) -> None:
        piece = one.piece
        sample = self._items[piece.index]
        assert isinstance(sample, Sample), "only samples are answered"
        row = answer_row(
            sample.id,
            answer.to_json(),
            sample.reference,
            windows=len(piece.windows),
            regions=() if one.features is None else one.features.regions,
            seconds=seconds,
        )
        self._journal.add(piece.index, row)
        self._tally.done += 1
        self._tally.audio_seconds += seconds or 0.0

    def _quarantine(self, piece: Piece, error: SampleError) -> None:
        """One line a sample, whichever of its windows failed first."""
        self._pieces.drop(piece.index)
        if piece.index in self._journal:
            return
        self._journal.add(piece.index, rejected(self._items[piece.index], error).to_json(), error=True)
        self._tally.done += 1
        self._tally.quarantined += 1


def _needs_network(one: _Processed) -> bool:
    """A silent sample has its answer; a silent window still has to have as many frames as the network gives it."""
    return one.features is not None and (one.features.answer is None or one.piece.cut)


def _length(one: _Processed) -> int:
    assert one.features is not None, "rows have features"
    return one.features.length


def rejected(item: Sample | Rejected, error: SampleError) -> Rejected:
    """The quarantine line of a sample."""
    return Rejected(item.id, path_text(item.source) if isinstance(item, Sample) else "", error.stage, error.reason)


def path_text(source: Source) -> str:
    """The file that a source lies in, as text that can be written whatever bytes its name has; empty if none."""
    path = path_of(source)
    return "" if path is None else printable(str(path))
