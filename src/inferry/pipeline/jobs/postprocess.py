"""Outputs that were computed elsewhere to a run, as if `infer` had computed them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from inferry.core.bundle import open_bundle
from inferry.core.errors import RunError, UsageError
from inferry.core.files import atomic_folder, to_json_text, write_atomic
from inferry.core.machine import package_version, processor_name
from inferry.core.protocols import Decoding
from inferry.core.runs import RUN, TIMINGS, Journal, Run, begin_run, finish_run, open_run
from inferry.core.samples import Rejected
from inferry.pipeline.evaluate import Evaluation, evaluate
from inferry.pipeline.execution import planned_axis
from inferry.pipeline.infer import decoding_config, kept_texts
from inferry.pipeline.jobs.answers import Answers
from inferry.pipeline.jobs.batch_sizes import BatchSizes, Difference
from inferry.pipeline.jobs.folder import Job, find_job, job_folder, read_job, read_samples
from inferry.pipeline.jobs.returned import (
    Returned,
    batches_of,
    check_bundle,
    check_pack,
    open_returned,
    system_facts,
)

ELSEWHERE: Final = "elsewhere"
"""Stands under ``measured`` in config and signature: neither times nor outputs are this machine's."""

_UNKNOWN = "not stated"
_BACKEND = "ascend"


@dataclass(frozen=True)
class Postprocessed:
    """What `postprocess` made.

    Attributes:
        run: The finished run.
        evaluation: None if no sample has a reference; then `unscored` says so.
        npu: A row of times for each gear of which a summary came back.
        differences: For each batch size beyond the smallest.
        near_ties: Answers that the rounding of padding and batching could change.
        unscored: Why there is no evaluation; empty otherwise.
        failed: There are references, and yet no evaluation.
    """

    run: Run
    evaluation: Evaluation | None
    npu: tuple[Mapping[str, Any], ...]
    differences: tuple[Difference, ...]
    near_ties: int
    unscored: str = ""
    failed: bool = False

    @property
    def differing(self) -> int:
        """Answers that another batch size changed."""
        return sum(one.differing for one in self.differences)


def postprocess(
    bundle: str | Path,
    outputs: str | Path,
    output: str | Path,
    *,
    job: str | Path | None = None,
    decoding: Decoding | None = None,
    device: str | None = None,
    precision: str | None = None,
) -> Postprocessed:
    """Decode and score what ais_bench or msame wrote.

    Args:
        bundle: The one that the job was made with.
        outputs: The folder that holds one folder a gear (``samples16000_b4``).
        output: The run's folder; an older one of `postprocess` is replaced.
        job: The job's folder, or a pack's; None for the nearest one at or above `outputs`.
        decoding: As for `infer`.
        device: What ran it, where the job does not say.
        precision: In which it was compiled, where the job does not say.

    Raises:
        UsageError: There is no job or no outputs, or `device` or `precision` contradict the job.
        RunError: Outputs are missing or broken, the job is of another bundle or the
            outputs are of another pack, `output` holds something else, or no
            sample could be answered.
    """
    opened, target, folder = open_bundle(bundle), Path(output), Path(outputs)
    made = read_job(find_job(folder) if job is None else job_folder(Path(job)))
    check_bundle(made, opened.digest)
    check_pack(made, folder)
    _require_replaceable(target)
    kept, stated = kept_texts(opened), _stated(made, device, precision)
    returned = open_returned(made, folder)
    ran = [one for batches in returned.values() for one in batches.values()]
    answers = Answers(opened, returned, decoding)
    compared = BatchSizes(answers, batches_of(returned))
    npu = tuple(one.timings for one in ran if one.timings is not None)
    signed = {**_signature(ran, stated), **system_facts(folder)}
    with atomic_folder(target) as work:
        run = begin_run(work, _config(made, stated["precision"], decoding or Decoding()))
        counts, near_ties = _write_rows(run, made, answers, compared)
        batches = [one.to_json() for one in compared.differences]
        measured = {"near_ties": near_ties, "npu": list(npu), "batches": batches, "signature": signed}
        for name, text in {**kept, TIMINGS: to_json_text({**counts, **_plan(made, ran), **measured})}.items():
            write_atomic(work / name, text)
        places = {"bundle_path": str(opened.path.resolve()), "job_path": str(made.folder.resolve())}
        finish_run(run, {**counts, "cut": made.counts["cut"], **places, "signature": signed})
    return _scored(open_run(target), npu, compared.differences, near_ties)


def _require_replaceable(target: Path) -> None:
    if not target.exists() or (target.is_dir() and not any(target.iterdir())):
        return
    if (target / RUN).is_file() and open_run(target).info["config"].get("measured") == ELSEWHERE:
        return
    raise RunError(f"{target} exists and is no run of `inferry postprocess`: choose another --output")


def _stated(job: Job, device: str | None, precision: str | None) -> dict[str, str]:
    """What the job or the user says about the compiled model."""
    stated = {}
    for name, given in (("device", device), ("precision", precision)):
        known = job.compiled.get(name)
        if given is not None and known is not None and given != known:
            raise UsageError(f"the {name} is given as {given}, and the job is for {known}: leave one out")
        stated[name] = known or given or _UNKNOWN
    return stated


def _signature(ran: Sequence[Returned], stated: Mapping[str, str]) -> dict[str, str]:
    """What computed the outputs, as far as it is known here; this machine only decoded them."""
    oms = sorted({one.om for one in ran if one.om})
    tools = sorted({one.files.tool for one in ran})
    written = sorted(one.written for one in ran)
    said = {
        "backend": _BACKEND,
        "measured": ELSEWHERE,
        **stated,
        "om": ", ".join(oms) or _UNKNOWN,
        "tool": ", ".join(tools) or "none, no sample needed the network",
        "decoded_by": f"inferry {package_version('inferry')} on {processor_name()}",
    }
    return said if not written else {**said, "written": " to ".join(dict.fromkeys((written[0], written[-1])))}


def _config(job: Job, precision: str, decoding: Decoding) -> dict[str, Any]:
    """As `infer` writes it."""
    data = {name: value for name, value in job.config.items() if name != "max_seconds"}
    how = {"backend": _BACKEND, "precision": precision, "decoding": decoding_config(decoding)}
    return {**data, **how, "max_seconds": job.config["max_seconds"], "measured": ELSEWHERE}


def _plan(job: Job, ran: Sequence[Returned]) -> dict[str, str]:
    """The shapes in the words of `ShapePlan.signature`; empty where nothing ran, or all samples have one shape."""
    axis = planned_axis(job.gears.inputs)
    if axis is None or not ran:
        return {}
    most = max(one.batch for one in ran)
    shapes = ",".join(f"{size}x{most}" for size in sorted({gear.sizes[axis] for gear in job.gears.shapes}))
    return {"plan": f"{axis}|shapes:{shapes}|batch:{most}|max_padded:none"}


def _write_rows(run: Run, job: Job, answers: Answers, compared: BatchSizes) -> tuple[dict[str, int], int]:
    """Predictions and errors; their counts, and the number of near ties."""
    near_ties, reason = 0, ""
    with Journal(run, job.counts["samples"]) as journal:
        for index, sample in enumerate(read_samples(job)):
            row: Mapping[str, Any] | Rejected = sample if isinstance(sample, Rejected) else {}
            if not isinstance(sample, Rejected):
                answered = answers.answer(sample)
                row, near_ties = answered.row, near_ties + answered.near_tie
                compared.add(sample, answered)
            if isinstance(row, Rejected):
                reason = reason or f"{row.id}: {row.reason}"
                journal.add(index, row.to_json(), error=True)
            else:
                journal.add(index, row)
        predictions, errors = journal.publish()
    if not predictions:
        raise RunError(f"no sample could be answered; the first reason: {reason}")
    return {"samples": predictions + errors, "predictions": predictions, "quarantined": errors}, near_ties


def _scored(
    run: Run, npu: tuple[Mapping[str, Any], ...], differences: tuple[Difference, ...], near_ties: int
) -> Postprocessed:
    """The result with its score, or why there is none."""
    evaluation, unscored = None, ""
    try:
        evaluation = evaluate(run.path)
    except RunError as error:
        unscored = str(error)
    failed = bool(unscored) and any(row["reference"] is not None for row in run.rows())
    return Postprocessed(run, evaluation, npu, differences, near_ties, unscored, failed)
