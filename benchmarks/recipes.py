"""What exactness and planning are worth: Inferry against the published recipes' way to run the same networks.

A recipe pads every sample to one length, takes all of it for sound and drops what is longer. The first table holds word
error rates of trained checkpoints on the AN4 test set, the second one speeds of networks of full size with random
weights on utterances with LibriSpeech's mix of lengths. Both are printed as Markdown.
"""

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

from full_size import WRITERS, checkpoint_folder
from measure import print_signature, work_folder

from inferry.core.bundle import Bundle, open_bundle
from inferry.core.machine import available_threads
from inferry.core.protocols import SessionOptions
from inferry.models.registry import get_recipe
from inferry.pipeline.bench import BenchOptions, bench
from inferry.pipeline.benchmark.cells import Job, own_job, recipe_job
from inferry.pipeline.benchmark.configurations import configurations
from inferry.pipeline.benchmark.recipe import old_recipe_of
from inferry.pipeline.benchmark.results import Benchmark, Result
from inferry.pipeline.benchmark.summary import accuracy
from inferry.pipeline.benchmark.workload import data_pool, make_workload
from inferry.pipeline.export import export
from inferry.pipeline.model import Model

_SHARED = Path(__file__).resolve().parents[2] / "shared"
_FAMILIES = ("wav2vec2", "data2vec-audio", "deepspeech2")
_BATCH_SIZE = 8
"""Of the accuracy table's own side; the answers do not depend on it."""


def main() -> int:
    """Print both tables, or the one that is asked for."""
    arguments = _arguments()
    print_signature()
    with work_folder(arguments.work) as work:
        if "accuracy" in arguments.tables:
            print(
                "\n| checkpoint | samples | WER % | WER % as the recipe | dropped | with the dropped ones | seconds |"
            )
            print("|---|---|---|---|---|---|---|", flush=True)
            for path in sorted(arguments.checkpoints.iterdir()):
                if (family := _family(path)) is not None:
                    print(_accuracy_row(work, family, path, arguments), flush=True)
        if "speed" in arguments.tables:
            for name in _FAMILIES:
                print(f"\n{name}, random weights of full size:", flush=True)
                print("\n".join(_speed_table(_full_size(work, name), arguments)), flush=True)
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tables", nargs="*", default=["accuracy", "speed"], help="accuracy, speed; default: both")
    parser.add_argument("--work", type=Path, help="folder for checkpoints and bundles, to be used again")
    parser.add_argument("--checkpoints", type=Path, default=_SHARED / "checkpoints", help="folder of trained ones")
    parser.add_argument("--an4", type=Path, default=_SHARED / "data" / "an4_test", help="data set of the first table")
    parser.add_argument("--data", type=Path, default=_SHARED / "data" / "librispeech", help="of the second one")
    parser.add_argument("--limit", type=int, help="use the first samples only")
    parser.add_argument("--samples", type=int, default=8, help="samples in a round of the second table; default: 8")
    parser.add_argument("--rounds", type=int, default=3, help="of the second table; default: 3")
    arguments = parser.parse_args()
    unknown = sorted({*arguments.tables} - {"accuracy", "speed"})
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; available: accuracy, speed")
    return arguments


def _family(checkpoint: Path) -> str | None:
    """The family that the folder's name begins with, None if it is none that has a recipe."""
    return next((family for family in _FAMILIES if checkpoint.name.startswith(family)), None)


def _exported(work: Path, family: str, checkpoint: Path, name: str) -> Bundle:
    path = work / "bundles" / name
    if not path.is_dir():
        export(family, checkpoint, path, reference=False)
    return open_bundle(path)


def _full_size(work: Path, name: str) -> Bundle:
    return _exported(work, WRITERS[name][0], _file_of(checkpoint_folder(work, name)), name)


def _file_of(folder: Path) -> Path:
    """The Lightning checkpoint in a folder that has one, otherwise the folder."""
    return next(folder.glob("*.ckpt"), folder)


@contextmanager
def _jobs(bundle: Bundle, data: Path, limit: int | None) -> Iterator[tuple[Job, Job]]:
    """The whole data set Inferry's way and the recipe's."""
    (configuration,) = configurations(["onnxruntime"], ["fp32"], [available_threads()])
    with Model(bundle, "onnxruntime", SessionOptions()) as model:
        pool = data_pool(model, data, limit)
        workload = make_workload(model, pool, len(pool.samples))
        recipe = old_recipe_of(bundle.manifest.family)
        yield (
            own_job(configuration, model, workload, _BATCH_SIZE),
            recipe_job(configuration, model, workload, recipe),
        )


def _accuracy_row(work: Path, family: str, path: Path, arguments: argparse.Namespace) -> str:
    """One checkpoint, each way once: answers are the same every time."""
    bundle = _exported(work, family, _file_of(path), path.name)
    with _jobs(bundle, arguments.an4, arguments.limit) as jobs:
        start = perf_counter()
        own, recipe = (accuracy(bundle, job.items, job.dropped, job.run().predictions) for job in jobs)
    if own is None or recipe is None:
        raise SystemExit(f"{arguments.an4} has no references")
    cells = [path.name, str(own.scored), f"{own.main.percent:.2f}", f"{recipe.main.percent:.2f}", str(recipe.dropped)]
    return _row([*cells, f"{recipe.main_with_dropped:.2f}", f"{perf_counter() - start:.0f}"])


def _speed_table(bundle: Bundle, arguments: argparse.Namespace) -> list[str]:
    options = BenchOptions(
        batch_sizes=(1, 4), baseline="recipe", rounds=arguments.rounds, samples=arguments.samples, limit=arguments.limit
    )
    made = bench(bundle.path, arguments.data, options=options)
    length = get_recipe(bundle.manifest.family).old_recipe
    lines = [
        f"{made.data}, {made.valid_seconds or 0:.1f} s of sound; the recipe's length is {length and length.length:,}",
        "",
    ]
    lines.append("| | batch size | audio s/s | real share of input | dropped | peak memory | ratio to the recipe |")
    lines.append("|---|---|---|---|---|---|---|")
    for one in made.configurations:
        name = "recipe" if one.baseline else "Inferry"
        lines += [
            _row([name, *_speed_cells(result), _ratio(made, result, baseline=one.baseline)]) for result in one.results
        ]
    return [*lines, "", f"{made.seconds:.0f} s, {made.configurations[0].results[0].rounds} rounds"]


def _speed_cells(result: Result) -> list[str]:
    memory = result.startup.peak_memory_bytes
    return [
        str(result.batch_size),
        "-" if result.audio_seconds_per_second is None else f"{result.audio_seconds_per_second:.2f}",
        f"{result.padding_efficiency:.3f}",
        str(len(result.dropped)),
        "-" if memory is None else f"{memory / 1e9:.2f} GB",
    ]


def _ratio(made: Benchmark, result: Result, *, baseline: bool) -> str:
    """How many times as fast as the recipe, with its range."""
    if baseline:
        return "1"
    (found,) = (ratio.ratio for ratio in made.ratios if ratio.batch_size == result.batch_size)
    # The benchmark compares the recipe with us.
    return f"{1 / found.median:.2f} ({1 / found.greatest:.2f} to {1 / found.least:.2f})"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


if __name__ == "__main__":
    sys.exit(main())
