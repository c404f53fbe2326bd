"""The process in which `inferry bench` measures memory and start: it opens a bundle and answers one batch.

``python -m inferry.pipeline.benchmark.child JSON`` prints one JSON object and ends.
"""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inferry.core.bundle import open_bundle
from inferry.core.protocols import SessionOptions
from inferry.models.registry import get_recipe
from inferry.pipeline.benchmark.recipe import recipe_features
from inferry.pipeline.benchmark.sources import source_from_json
from inferry.pipeline.model import Model

_STATUS = Path("/proc/self/status")
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024
"""Bytes in a unit of ru_maxrss (getrusage(2))."""


def main(request: Mapping[str, Any]) -> None:
    """Answer one batch of one sample, repeated, and print the peak memory by then."""
    options = SessionOptions(str(request["precision"]), int(request["threads"]))
    with Model(open_bundle(request["bundle"]), str(request["backend"]), options) as model:
        features = model.processor.process(source_from_json(request["source"]))
        if request["recipe"]:
            recipe = get_recipe(model.bundle.manifest.family).old_recipe
            assert recipe is not None, "the caller measures a recipe only where there is one"
            features = recipe_features(model, features, recipe)
        outputs = model.run_batch([features] * int(request["batch_size"]))
        model.decoder.decode(outputs[0])
        sys.stdout.write(json.dumps({"peak_memory_bytes": peak_memory()}) + "\n")
        sys.stdout.flush()


def peak_memory() -> int:
    """Greatest resident memory of this process so far, in bytes.

    On Linux from VmHWM: ru_maxrss keeps what the parent had in memory when it started this process (execve(2)).
    """
    if _STATUS.is_file():
        for line in _STATUS.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
