"""What the files of a run say, as the report takes it. Missing files give the sentence that says how to make them."""

import json
import shlex
from collections.abc import Mapping
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, Final

from inferry.core.bundle import PARITY, PROCESSOR, Bundle, open_bundle
from inferry.core.errors import BundleError, RunError, UsageError
from inferry.core.runs import BENCH, ERRORS, LEDGER, METRICS, TIMINGS, Run
from inferry.core.samples import Rejected
from inferry.report.fields import parse
from inferry.report.ledger import Ledger
from inferry.report.markup import Markup, element, join
from inferry.report.quarantine import Quarantine
from inferry.report.speed import Speed
from inferry.report.timing import Stages

_ERRORS_SHOWN: Final = 200
_REASON: Final = 300
_SIBLINGS: Final = 200


def find_bundle(run: Run) -> Bundle | None:
    """The bundle that made a run, known by its digest: where it was, in the run, beside it, or in a run beside it."""
    around = run.path.resolve().parent
    near = sorted(
        path.parent for pattern in ("*/manifest.json", "*/bundle/manifest.json") for path in around.glob(pattern)
    )
    for folder in (Path(run.info.get("bundle_path", "")), run.path / "bundle", *islice(near, _SIBLINGS)):
        try:
            bundle = open_bundle(folder)
        except (UsageError, BundleError):
            continue
        if bundle.digest == run.info["config"]["bundle"]:
            return bundle
    return None


def read_ledger(run: Run, bundle: Bundle | None) -> Ledger | str:
    """The run's own ledger, else what was compared when the bundle was written."""
    again = shlex.join(
        ["inferry", "compare", _path(bundle), "--checkpoint", "PATH", "--data", _data(run), "--output", str(run.path)]
    )
    places = [run.path / LEDGER] + ([bundle.path / PARITY] if bundle is not None else [])
    for path in places:
        if path.is_file():
            source = f"{path.parent.name}/{path.name}"
            return parse(partial(Ledger.from_json, source=source), read_json(path), str(path), again)
    return hint("No parity ledger was found. This command makes one:", again)


def read_speed(run: Run, bundle: Bundle | None) -> Speed | str:
    """What `inferry bench` measured for this run."""
    path = run.path / BENCH
    again = shlex.join(
        [
            "inferry",
            "bench",
            _path(bundle),
            "--data",
            _data(run),
            "--batch-sizes",
            "1,4,8,16",
            "--output",
            str(run.path),
        ]
    )
    if not path.is_file():
        return hint("Batch sizes were not measured. This command does:", again)
    return parse(partial(Speed.from_json, source=path.name), read_json(path), str(path), again)


def _path(bundle: Bundle | None) -> str:
    return "BUNDLE" if bundle is None else str(bundle.path)


def _data(run: Run) -> str:
    return str(run.info["config"]["data"])


def hint(said: str, command: str) -> Markup:
    """A sentence and the command it speaks of, ready to be copied into a shell."""
    return join([said, " ", element("code", command)])


def read_score(run: Run) -> Mapping[str, Any] | None:
    """The content of metrics.json without its counts of each sample, or None where the run was not scored."""
    path = run.path / METRICS
    if not path.is_file():
        return None
    head: list[str] = []
    with path.open(encoding="utf-8") as lines:
        for line in lines:
            # The rows close the score and may be millions: the page needs the totals before them only.
            if line.strip() == '"rows": [':
                head.append('"rows": []}}')
                break
            head.append(line)
    return _object("".join(head), path)


def normalisation_of(run: Run) -> str:
    """How both sides were normalised when the run was scored."""
    metrics = read_score(run)
    if metrics is None:
        return "none"
    again = shlex.join(["inferry", "evaluate", str(run.path)])
    return parse(lambda row: str(row["score"]["normalisation"]), metrics, str(run.path / METRICS), again)


def read_timings(run: Run) -> Mapping[str, Any]:
    """The content of timings.json; empty where there is none."""
    path = run.path / TIMINGS
    return read_json(path) if path.is_file() else {}


def stages_of(run: Run, timings: Mapping[str, Any]) -> Stages | None:
    """Where the time went; None where the run does not say."""
    if "stage_seconds" not in timings:
        return None
    return parse(_stages, timings, str(run.path / TIMINGS), f"inferry infer, after removing {run.path}")


def _stages(timings: Mapping[str, Any]) -> Stages:
    seconds = {str(stage): float(value) for stage, value in timings["stage_seconds"].items()}
    return Stages(seconds, float(timings["wall_seconds"]), int(timings.get("resumed_after", 0)))


def read_quarantine(run: Run) -> Quarantine:
    """The first rows of errors.jsonl, and how many there are."""
    rows: list[Rejected] = []
    total = 0
    for total, row in enumerate(run.rows(ERRORS), start=1):  # noqa: B007 -- the last number is the total
        if len(rows) < _ERRORS_SHOWN:
            texts = (str(row[name])[:_REASON] for name in ("id", "path", "stage", "reason"))
            rows.append(Rejected(*texts))
    return Quarantine(tuple(rows), total, ERRORS)


def seconds_per_element(bundle: Bundle | None, axis: str) -> float | None:
    """What one element along the planned axis lasts; None where the bundle does not say."""
    if bundle is None:
        return None
    sound = bundle.read_json(PROCESSOR).get("input", {})
    if axis == "samples":
        return 1.0 / float(sound["sampling_rate"]) if "sampling_rate" in sound else None
    return float(sound["window_stride"]) if "window_stride" in sound else None


def read_json(path: Path) -> Mapping[str, Any]:
    """A JSON object of a run.

    Raises:
        RunError: The file cannot be read or holds no object.
    """
    try:
        return _object(path.read_text(encoding="utf-8"), path)
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error}") from error


def _object(text: str, path: Path) -> Mapping[str, Any]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise RunError(f"{path} is broken ({error}); write it again with the command that wrote it") from error
    if not isinstance(value, dict):
        raise RunError(f"{path} holds {type(value).__name__}, expected an object")
    return value
