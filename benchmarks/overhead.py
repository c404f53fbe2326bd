"""What Inferry costs on top of the runtime: ``infer`` on real utterances against a bare ONNX Runtime loop.

Both sides run the same graph of wav2vec2-base's size on the same utterances, in turn, several rounds. The bare loop
gets tensors that are ready in memory and runs them one at a time with ONNX Runtime's own defaults and the same number
of threads. Inferry reads, resamples, normalises, runs, decodes, journals and publishes. Both sides open their session
within the time that counts; ``without opening`` takes the time that the bare side measured for it off both.
"""

import argparse
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter, process_time

import onnxruntime as ort
from full_size import WRITERS, checkpoint_folder
from measure import INFERRY, Range, print_signature, ratios, run_child, verdict, work_folder

from inferry.core.bundle import Bundle, open_bundle
from inferry.core.machine import available_threads
from inferry.core.protocols import SessionOptions
from inferry.core.samples import Sample
from inferry.core.specs import Array
from inferry.datasets.registry import open_dataset
from inferry.pipeline.execution import collate
from inferry.pipeline.export import export
from inferry.pipeline.infer import Options, infer
from inferry.pipeline.model import Model

LIMIT = 1.10
"""Most times the bare loop's seconds."""

_DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "librispeech"


@dataclass
class Seconds:
    """Wall times, one a round.

    Attributes:
        opening: Of the bare session's opening alone.
        bare: Of the bare loop, opening included.
        pipeline: Of `inferry.pipeline.infer.infer`, opening included.
        bare_cpu: Processor time of the bare loop, all threads.
        pipeline_cpu: Likewise of `infer`. Other programs on the machine disturb it less than the wall time.
        command: Of a process that runs ``inferry infer``, interpreter and imports included.
    """

    opening: list[float]
    bare: list[float]
    pipeline: list[float]
    bare_cpu: list[float]
    pipeline_cpu: list[float]
    command: list[float]

    def with_opening(self) -> Range:
        """Pipeline over bare loop, as measured."""
        return ratios(self.pipeline, self.bare)

    def without_opening(self) -> Range:
        """Pipeline over bare loop, the bare session's opening taken off both."""
        return ratios(_less(self.pipeline, self.opening), _less(self.bare, self.opening))

    def of_processor(self) -> Range:
        """Processor time of the pipeline over that of the bare loop."""
        return ratios(self.pipeline_cpu, self.bare_cpu)

    def of_command(self) -> Range:
        """The command line over the bare loop."""
        return ratios(self.command, self.bare)


def _less(values: Sequence[float], offs: Sequence[float]) -> list[float]:
    return [value - off for value, off in zip(values, offs, strict=True)]


def main() -> int:
    """Measure and compare with the limit."""
    arguments = _arguments()
    print_signature()
    threads = arguments.threads or available_threads()
    with work_folder(arguments.work) as work:
        bundle = _bundle(work, arguments.name)
        batches, audio = _ready_tensors(bundle, arguments.data, arguments.utterances)
        print(f"{len(batches)} utterances, {audio:.1f} s of sound, {threads} threads, {arguments.rounds} rounds")
        options = Options(threads=threads, limit=arguments.utterances)
        seconds = Seconds([], [], [], [], [], [])
        for count in range(arguments.rounds + 1):
            _measure(
                seconds,
                lambda: _bare(bundle, batches, threads),
                lambda output: infer(bundle.path, arguments.data, output, options),
            )
            if not count:
                # The first round fills caches and counts for nobody.
                seconds = Seconds([], [], [], [], [], [])
        for _ in range(arguments.rounds if arguments.command else 0):
            seconds.command.append(_command(bundle, arguments.data, arguments.utterances, threads))
    return _report(seconds)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, help="folder for checkpoint and bundle, to be used again")
    parser.add_argument("--data", type=Path, default=_DATA, help=f"data set; default: {_DATA}")
    parser.add_argument("--name", choices=list(WRITERS), default="wav2vec2", help="the checkpoint; default: wav2vec2")
    parser.add_argument("--utterances", type=int, default=30, help="the first so many; default: 30")
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count; default: 5")
    parser.add_argument("--threads", type=int, help="default: as many as the process may use")
    parser.add_argument("--command", action="store_true", help="measure the command line too")
    return parser.parse_args()


def _bundle(work: Path, name: str) -> Bundle:
    path = work / "bundles" / name
    if not path.is_dir():
        export(WRITERS[name][0], checkpoint_folder(work, name), path, reference=False)
    return open_bundle(path)


def _ready_tensors(bundle: Bundle, data: Path, count: int) -> tuple[list[dict[str, Array]], float]:
    """The graph's inputs of each of the first utterances, and how many seconds of sound they are."""
    items = open_dataset(data.absolute()).items[:count]
    with Model(bundle, "onnxruntime", SessionOptions()) as model:
        features = [model.processor.process(item.source) for item in items if isinstance(item, Sample)]
    if not features:
        raise SystemExit(f"no utterances in {data}")
    silent = sum(one.answer is not None for one in features)
    if silent or len(features) < count:
        raise SystemExit(f"{data}: {len(features)} usable of {count}, {silent} silent: both sides need the same work")
    batches = [collate([one], bundle.manifest.inputs) for one in features]
    return batches, sum(one.seconds or 0.0 for one in features)


def _measure(seconds: Seconds, bare_loop: Callable[[], tuple[float, float]], run: Callable[[Path], object]) -> None:
    """One round: the bare loop, then Inferry."""
    used = process_time()
    opening, bare = bare_loop()
    seconds.bare_cpu.append(process_time() - used)
    seconds.opening.append(opening)
    seconds.bare.append(bare)
    with tempfile.TemporaryDirectory(prefix="inferry-benchmark-") as folder:
        start, used = perf_counter(), process_time()
        run(Path(folder) / "run")
        seconds.pipeline.append(perf_counter() - start)
        seconds.pipeline_cpu.append(process_time() - used)
    print(f"bare {bare:.3f} s (opening {opening:.3f} s), inferry {seconds.pipeline[-1]:.3f} s", flush=True)


def _bare(bundle: Bundle, batches: Sequence[Mapping[str, Array]], threads: int) -> tuple[float, float]:
    """Seconds of opening a session, and of opening and running."""
    settings = ort.SessionOptions()
    settings.intra_op_num_threads = threads
    start = perf_counter()
    session = ort.InferenceSession(str(bundle.model), settings, providers=["CPUExecutionProvider"])
    opened = perf_counter()
    for batch in batches:
        session.run(None, dict(batch))
    return opened - start, perf_counter() - start


def _command(bundle: Bundle, data: Path, count: int, threads: int) -> float:
    with tempfile.TemporaryDirectory(prefix="inferry-benchmark-") as folder:
        output = str(Path(folder) / "run")
        options = ["--data", str(data), "--output", output, "--limit", str(count), "--threads", str(threads)]
        return run_child([*INFERRY, "infer", str(bundle.path), *options]).seconds


def _report(seconds: Seconds) -> int:
    """Print the ratios; 1 if the median with opening is above the limit, else 0."""
    ratio = seconds.with_opening()
    print(f"inferry / bare loop, both with opening: {ratio}, {verdict(kept=ratio.median <= LIMIT, limit=f'{LIMIT:g}')}")
    print(f"inferry / bare loop, both without opening: {seconds.without_opening()}")
    print(f"inferry / bare loop, processor time: {seconds.of_processor()}")
    if seconds.command:
        print(f"command line, interpreter and imports included: {Range.of(seconds.command)} s")
        print(f"command line / bare loop with opening: {seconds.of_command()}")
    return int(ratio.median > LIMIT)


if __name__ == "__main__":
    sys.exit(main())
