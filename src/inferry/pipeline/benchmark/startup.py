"""Peak memory and time to the first result, each in a fresh process."""

import json
import subprocess
import sys
import tempfile
from time import perf_counter

from inferry.core.bundle import Bundle
from inferry.pipeline.benchmark.configurations import Configuration
from inferry.pipeline.benchmark.results import Startup
from inferry.pipeline.benchmark.sources import source_to_json
from inferry.pipeline.benchmark.workload import Item

_CHILD = "inferry.pipeline.benchmark.child"


def measure_startup(bundle: Bundle, configuration: Configuration, item: Item, rows: int) -> Startup:
    """Start a process that opens the bundle and answers one batch.

    Args:
        bundle: The bundle.
        configuration: How to open it.
        item: The sample: files, or noise of `bench`'s own.
        rows: How often the batch holds it.

    Returns:
        Numbers, or the reason why the process gave none (it may run out of memory where this one does not).
    """
    request = {
        "bundle": str(bundle.path),
        "backend": configuration.backend,
        "precision": configuration.precision,
        "threads": configuration.threads,
        "batch_size": rows,
        "recipe": configuration.recipe is not None,
        "source": source_to_json(item.sample.source),
    }
    start = perf_counter()
    # The request holds this package's own words and the user's paths, and no shell reads it.
    with (
        tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as complaints,
        subprocess.Popen(  # noqa: S603 -- see above
            [sys.executable, "-m", _CHILD, json.dumps(request)], stdout=subprocess.PIPE, stderr=complaints, text=True
        ) as process,
    ):
        assert process.stdout is not None, "its output is a pipe"
        try:
            line = process.stdout.readline()
            seconds = perf_counter() - start
            process.wait()
        except BaseException:
            process.kill()
            raise
        complaints.seek(0)
        problem = complaints.read()
    if not line:
        last = problem.strip().rpartition("\n")[2] or f"it ended with code {process.returncode}"
        return Startup(None, None, last)
    return Startup(seconds, int(json.loads(line)["peak_memory_bytes"]))
