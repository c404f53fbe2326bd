"""Runs the files of a job through the simulators of ais_bench and msame."""

from pathlib import Path

import ais_bench
import numpy as np

MSAME_TIME = "20260102_030405"
"""msame names its output folder after the time."""


def run_all(job, model, outputs: Path, *, outfmt: str = "BIN", batches=None, parts=None) -> Path:
    """ais_bench on every part of a job with every gear of its shape, or with these batch sizes, or these parts only."""
    for run in job.runs:
        if parts is not None and run.part.folder not in parts:
            continue
        for batch in [run.gear.batch] if batches is None else batches:
            gear = type(run.gear)(batch, run.gear.sizes)
            om = ais_bench.OfflineModel(model, {spec.name: gear.shape(spec) for spec in job.inputs})
            ais_bench.run(om, folders_of(job, run.part), outputs, run.part.outputs(batch), outfmt=outfmt)
    return outputs


def folders_of(job, part) -> str:
    """``--input`` of ais_bench and msame."""
    return ",".join(str(job.folder / part.folder / name) for name in part.inputs)


def run_msame(job, model, outputs: Path) -> Path:
    """msame on every part: one file a time, in the order of plain names, into a folder named after the time.

    From ``msame/src/sample_process.cpp`` and ``model_process.cpp`` of ``ascend/tools``: the input path may not hold
    ``.bin``, hidden files are left out, each input's file has the name that the first one's has, and
    ``<stem>_output_<number>.bin`` are the bytes of the output.
    """
    for run in job.runs:
        om = ais_bench.OfflineModel(model, {spec.name: run.gear.shape(spec) for spec in job.inputs})
        folders = [Path(folder) for folder in folders_of(job, run.part).split(",")]
        assert ".bin" not in str(folders[0])
        target = outputs / run.name / MSAME_TIME
        target.mkdir(parents=True)
        for name in sorted(file.name for file in folders[0].iterdir() if not file.name.startswith(".")):
            arrays = [
                np.frombuffer((folder / name).read_bytes(), one.dtype).reshape(one.shape)
                for folder, one in zip(folders, om.inputs, strict=True)
            ]
            for number, array in enumerate(om.execute(arrays)):
                array.tofile(target / f"{name.rpartition('.')[0]}_output_{number}.bin")
    return outputs
