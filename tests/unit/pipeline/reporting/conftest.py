"""Runs written by hand."""

import json

import pytest

from inferry.core.files import to_json_text
from inferry.core.runs import open_run
from inferry.pipeline.reporting.data import gather_parts
from inferry.pipeline.reporting.samples import gather_samples
from inferry.pipeline.reporting.views.registry import view_of


@pytest.fixture
def write_run():
    """Writes a finished run without any inference: folder, task, data set, rows, and texts by file name."""

    def write(folder, task, data, rows, *, kind="image-folder", errors=(), texts=None):
        folder.mkdir(parents=True)
        config = {"family": "x", "task": task, "bundle": "0" * 64, "data": str(data), "kind": kind}
        config |= {"decoding": {"beam": None}, "max_seconds": 36.0}
        counts = {"samples": len(rows) + len(errors), "predictions": len(rows), "quarantined": len(errors)}
        (folder / "run.json").write_text(to_json_text({"config": config, "finished": True, **counts}))
        for name, content in (("predictions.jsonl", rows), ("errors.jsonl", errors)):
            (folder / name).write_text("".join(json.dumps(row) + "\n" for row in content), encoding="utf-8")
        for name, text in (texts or {}).items():
            (folder / name).write_text(text, encoding="utf-8")
        return folder

    return write


@pytest.fixture
def gather():
    """What a page shows of runs: their parts, and their samples."""

    def gathered(*folders):
        runs = [open_run(folder) for folder in folders]
        view = view_of(runs)
        found = gather_samples(runs, view)
        return gather_parts(runs, view, found.seconds), found.samples

    return gathered
