"""Bundle to speed: several configurations and batch sizes in turn, on the data set's real lengths."""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from time import perf_counter
from typing import Final

from inferry.backends.registry import get_backend
from inferry.core.bundle import Bundle, open_bundle
from inferry.core.errors import UsageError
from inferry.core.files import to_json_text, write_atomic
from inferry.core.machine import signature
from inferry.core.runs import BENCH
from inferry.pipeline.benchmark.ceiling import CeilingProbe, best_of, open_ceiling
from inferry.pipeline.benchmark.cells import Job, own_job, recipe_job
from inferry.pipeline.benchmark.configurations import Configuration, configurations, with_recipe
from inferry.pipeline.benchmark.operations import operation_counter
from inferry.pipeline.benchmark.recipe import old_recipe_of
from inferry.pipeline.benchmark.results import Benchmark, Startup
from inferry.pipeline.benchmark.rounds import Rules, Series, rest, run_rounds
from inferry.pipeline.benchmark.startup import measure_startup
from inferry.pipeline.benchmark.summary import Measured, configuration_results, ratios_to_first, require_references
from inferry.pipeline.benchmark.workload import SEED, Workload, data_pool, fitting_count, make_workload, noise_pool
from inferry.pipeline.model import Model
from inferry.pipeline.output import check_output

BATCH_SIZES: Final = (1, 4, 8, 16, 32)

_ROUND_SECONDS: Final = 4.0
"""What a round of everything shall take, where the largest batch does not ask for more samples."""

_ROUNDS: Final = 12
"""Most rounds unless told otherwise."""

_SECONDS_FOR_A_ROUND: Final = 25.0 / _ROUNDS
"""No further round begins after these for each of the rounds allowed, once there are enough: more rounds, more time."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class BenchOptions:
    """What is compared, and for how long.

    Attributes:
        batch_sizes: Most samples a batch; each is measured.
        backends: Names; with `precisions` and `threads` every combination is a configuration.
        precisions: ``fp32`` …
        threads: None given stands for all that this process may use.
        baseline: ``recipe`` to measure the family's published recipe too.
        rounds: Most rounds.
        samples: Samples in a round; None for what makes a round last a few seconds.
        limit: Use the data set's first samples only.
        kind: The data set's layout, None to recognise it.
    """

    batch_sizes: tuple[int, ...] = BATCH_SIZES
    backends: tuple[str, ...] = ("onnxruntime",)
    precisions: tuple[str, ...] = ("fp32",)
    threads: tuple[int, ...] = ()
    baseline: str | None = None
    rounds: int = _ROUNDS
    samples: int | None = None
    limit: int | None = None
    kind: str | None = None


@dataclass(frozen=True)
class _Rounds:
    """What the rounds gave, with everything closed again."""

    workload: Workload
    jobs: Sequence[Job]
    series: Sequence[Series]
    ceilings: Sequence[CeilingProbe]
    signatures: Sequence[dict[str, object]]


def bench(
    bundle: str | Path,
    data: str | Path | None = None,
    *,
    seconds: float | None = None,
    options: BenchOptions | None = None,
    output: str | Path | None = None,
    progress: Progress = lambda _: None,
) -> Benchmark:
    """Measure how fast a bundle is on this machine.

    Args:
        bundle: Its folder.
        data: A data set, whose mix of lengths is kept.
        seconds: Instead of `data`: the duration of seeded noise to run, for bundles that take sounds.
        options: What is compared.
        output: A folder to write bench.json into; it may be a run's.
        progress: Is told what goes on.

    Raises:
        UsageError: Not exactly one of `data` and `seconds`, an option that cannot be meant, no recipe, a wrong output.
        BackendError: A configuration cannot be opened or run.
        RunError: The data set's references are none of this network's.
        DatasetError: No sample can be measured with.
    """
    options, start, load = options or BenchOptions(), perf_counter(), _load()
    _check(options, data, seconds)
    opened = open_bundle(bundle)
    if output is not None:
        check_output(Path(output), opened)
    compared = _configurations(opened, options)
    found = _run(opened, compared, options, data=data, seconds=seconds, progress=progress)
    made = _benchmark(opened, compared, found, progress)
    made = replace(made, seconds=perf_counter() - start, signature={**made.signature, "load_before": load})
    if output is not None:
        Path(output).mkdir(parents=True, exist_ok=True)
        write_atomic(Path(output) / BENCH, to_json_text(made.to_json()))
    return made


def _benchmark(bundle: Bundle, compared: Sequence[Configuration], found: _Rounds, progress: Progress) -> Benchmark:
    """What the rounds gave, with what is measured once they are over."""
    startups = _startups(bundle, found.jobs, progress)
    operations, unknown = _operations(bundle, found.jobs, progress)
    measured = [Measured(*one) for one in zip(found.jobs, found.series, operations, startups, strict=True)]
    ceilings = [probe.ceiling() for probe in found.ceilings]
    return Benchmark(
        configurations=configuration_results(bundle, compared, measured, ceilings, found.signatures),
        ratios=ratios_to_first(compared, measured),
        ceiling=best_of(ceilings),
        bundle=str(bundle.path),
        bundle_bytes=bundle.size,
        data=found.workload.description,
        samples=len(found.workload.items),
        valid_seconds=found.workload.valid_seconds,
        left_out=found.workload.left_out,
        uncounted=unknown,
        signature={**signature(), "bundle": bundle.digest, "seed": SEED},
    )


def _load() -> str:
    """How busy the machine was over the last minute: whoever reads the numbers must know."""
    return f"{os.getloadavg()[0]:.2f}" if hasattr(os, "getloadavg") else "unknown"


def _check(options: BenchOptions, data: str | Path | None, seconds: float | None) -> None:
    if (data is None) == (seconds is None):
        found = "neither is given" if data is None else "both are given"
        raise UsageError(
            f"{found}: name a data set with --data PATH to measure its mix of lengths,"
            " or, for sounds, a length with --seconds S to measure noise"
        )
    if data is None and (options.limit, options.kind) != (None, None):
        raise UsageError("--limit and --layout are for --data: noise has as many samples as --samples says")
    if options.baseline not in {None, "recipe"}:
        raise UsageError(f"unknown baseline {options.baseline!r}; available: recipe")
    numbers = {"--batch-sizes": list(options.batch_sizes), "--rounds": [options.rounds]}
    numbers |= {"--samples": [options.samples], "--limit": [options.limit]}  # type: ignore[list-item]
    bad = [name for name, values in numbers.items() if any(value is not None and value < 1 for value in values)]
    if bad or not options.batch_sizes:
        raise UsageError(f"{', '.join(bad) or '--batch-sizes'}: numbers of at least 1 are needed")
    if len(set(options.batch_sizes)) < len(options.batch_sizes):
        raise UsageError(f"--batch-sizes names one twice: {', '.join(map(str, options.batch_sizes))}")


def _configurations(bundle: Bundle, options: BenchOptions) -> tuple[Configuration, ...]:
    devices = [name for name in options.backends if not getattr(get_backend(name), "threaded", True)]
    own = configurations(options.backends, options.precisions, options.threads, devices)
    if options.baseline is None:
        return own
    return with_recipe(own, old_recipe_of(bundle.manifest.family))


@contextmanager
def _opened(bundle: Bundle, compared: Sequence[Configuration]) -> Iterator[tuple[list[Model], list[CeilingProbe]]]:
    """A session and a ceiling for each configuration."""
    with ExitStack() as stack:
        models = [stack.enter_context(Model(bundle, one.backend, one.options)) for one in compared]
        ceilings = []
        for one in compared:
            ceilings.append(open_ceiling(one))
            stack.callback(ceilings[-1].close)
        yield models, ceilings


def _run(
    bundle: Bundle,
    compared: Sequence[Configuration],
    options: BenchOptions,
    *,
    data: str | Path | None,
    seconds: float | None,
    progress: Progress,
) -> _Rounds:
    """Open everything once, run the rounds, close everything."""
    progress("opening")
    with _opened(bundle, compared) as (models, ceilings):
        workload = _workload(models[0], compared, options, data, seconds)
        require_references(models[0], workload.items)
        jobs = _jobs(compared, models, workload, options.batch_sizes)

        def beside() -> None:
            for probe in ceilings:
                probe.measure()

        rules = Rules(options.rounds, _SECONDS_FOR_A_ROUND * max(options.rounds, _ROUNDS))
        cells = [one.run for one in jobs]
        series = run_rounds(cells, _groups(jobs), rules, beside=beside, pause=rest, progress=progress)
        return _Rounds(workload, jobs, series, ceilings, [model.signature() for model in models])


def _workload(
    model: Model,
    compared: Sequence[Configuration],
    options: BenchOptions,
    data: str | Path | None,
    seconds: float | None,
) -> Workload:
    largest = max(options.batch_sizes)
    if data is None:
        assert seconds is not None, "checked: one of the two is given"
        count = options.samples or largest
        return make_workload(model, noise_pool(model, seconds, count), count)
    pool = data_pool(model, Path(data), options.limit, options.kind)
    count = options.samples or fitting_count(
        model,
        pool,
        _ROUND_SECONDS,
        passes=len(options.batch_sizes) * sum(one.recipe is None for one in compared),
        recipe=compared[-1].recipe,
        multiple=largest,
    )
    return make_workload(model, pool, count)


def _jobs(
    compared: Sequence[Configuration], models: Sequence[Model], workload: Workload, batch_sizes: Sequence[int]
) -> list[Job]:
    made = []
    for one, model in zip(compared, models, strict=True):
        if one.recipe is not None:
            made.append(recipe_job(one, model, workload, one.recipe))
        else:
            made += [own_job(one, model, workload, size) for size in batch_sizes]
    return made


def _groups(jobs: Sequence[Job]) -> list[list[int]]:
    """Places of the jobs by batch size: what is compared runs side by side. The recipe joins the first group."""
    own = [place for place, job in enumerate(jobs) if job.configuration.recipe is None]
    sizes = list(dict.fromkeys(jobs[place].batch_size for place in own))
    groups = [[place for place in own if jobs[place].batch_size == size] for size in sizes]
    groups[0] += [place for place in range(len(jobs)) if place not in own]
    return groups


def _startups(bundle: Bundle, jobs: Sequence[Job], progress: Progress) -> list[Startup]:
    """Each job's first batch, the one with the longest sample, in a process of its own."""
    made = []
    for count, job in enumerate(jobs):
        progress(f"memory and start, {count + 1}/{len(jobs)}")
        first = job.batches[0]
        longest = max(first, key=lambda item: item.features.length)
        made.append(measure_startup(bundle, job.configuration, longest, len(first)))
    return made


def _operations(bundle: Bundle, jobs: Sequence[Job], progress: Progress) -> tuple[list[int], tuple[str, ...]]:
    """Operations of each job's round, and the operators that are not counted."""
    progress("counting operations")
    with operation_counter(bundle) as counter:
        counts = [
            sum(
                rows * counter.per_row([item.features for item in batch], length)
                for batch, (rows, length) in zip(job.batches, job.padded, strict=True)
            )
            for job in jobs
        ]
        return counts, counter.unknown
