"""A simulator of ais_bench's file contract: the same folders in, the same files out; ONNX Runtime computes.

It follows the notes on ais_bench's sources and shares no line with what it tests. Its times are this machine's. The
program itself is `ais_bench_program`.
"""

import json
import os
import re
import stat
import time
from dataclasses import dataclass
from math import ceil, prod
from pathlib import Path

import numpy as np
import onnxruntime as ort

SUFFIXES = (".npy", ".NPY", ".bin", ".BIN")
MAX_FILES = 100_000
TYPES = {"float": "f4", "float16": "f2", "double": "f8", "int32": "i4", "int64": "i8", "uint8": "u1", "bool": "?"}


class AisBenchError(RuntimeError):
    """ais_bench would end here."""


@dataclass(frozen=True)
class Tensor:
    """One input of the offline model; `realsize` in bytes."""

    name: str
    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def realsize(self):
        return prod(self.shape) * self.dtype.itemsize


class OfflineModel:
    """An om compiled for one shape: an ONNX graph that is run in that shape only."""

    def __init__(self, path, shapes):
        self.session = ort.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.inputs = [
            Tensor(one.name, np.dtype(TYPES[one.type[7:-1]]), tuple(shapes[one.name]))
            for one in self.session.get_inputs()
        ]

    def execute(self, arrays):
        feeds = {one.name: array for one, array in zip(self.inputs, arrays, strict=True)}
        return self.session.run(None, feeds)


def natural_key(path):
    return [int(part) if part.isdigit() else part.lower() for part in re.split("([0-9]+)", str(path))]


def check_path(path):
    """path_security_check: link, characters, lengths, owner, mode."""
    path = Path(path).absolute()
    if path.is_symlink() or path.parent.is_symlink():
        raise AisBenchError(f"{path} is a soft link")
    if re.search(r"[^_A-Za-z0-9/.-]", str(path)):
        raise AisBenchError(f"{path} contains invalid characters")
    if len(str(path)) > 4096 or any(len(part) > 255 for part in path.parts):
        raise AisBenchError(f"{path} is too long")
    status = path.stat()
    if status.st_uid != os.geteuid() and status.st_gid not in {os.getegid(), *os.getgroups()}:
        raise AisBenchError(f"{path} has another owner")
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o022 or not mode & 0o400:
        raise AisBenchError(f"{path} can be written by others, or not be read by its owner")


def files_of(folder):
    check_path(folder)
    files = sorted((path for path in folder.iterdir() if path.is_file() and path.suffix in SUFFIXES), key=natural_key)
    if not files:
        raise AisBenchError(f"{folder} is empty")
    if len(files) > MAX_FILES:
        raise AisBenchError(f"{folder} has too many files")
    for file in files:
        check_path(file)
        if file.suffix.lower() == ".bin" and file.stat().st_size > 4 << 30:
            raise AisBenchError(f"{file} is too large")
    return files


def input_lists(argument, inputs):
    """`--input`: all folders or all files; one list of files for each input of the model."""
    entries = [Path(entry) for entry in argument.split(",")]
    if len(entries) > 1024:
        raise AisBenchError("too many inputs")
    if all(entry.is_dir() for entry in entries):
        if len(entries) != len(inputs):
            raise AisBenchError(f"{len(entries)} folders, the model has {len(inputs)} inputs")
        return [files_of(entry) for entry in entries]
    if not all(entry.is_file() for entry in entries):
        raise AisBenchError("inputs must be all files or all folders")
    for entry in entries:
        check_path(entry)
    chunk = len(entries) // len(inputs)
    if chunk * len(inputs) != len(entries):
        raise AisBenchError("fileslist not match the inputs")
    return [entries[index * chunk : (index + 1) * chunk] for index in range(len(inputs))]


def content_of(file):
    return np.load(file).tobytes() if file.suffix.lower() == ".npy" else file.read_bytes()


def batches_of(lists, inputs):
    """Sample indices of each run; the last is filled with its first file."""
    size = len(content_of(lists[0][0]))
    if size == 0 or inputs[0].realsize % size:
        raise AisBenchError(f"arg0 tensorsize:{inputs[0].realsize} filesize:{size} not match")
    per_batch, count = inputs[0].realsize // size, len(lists[0])
    for run in range(ceil(count / per_batch)):
        first = run * per_batch
        yield [index if index < count else first for index in range(first, first + per_batch)], count


def combined(files, one):
    content = b"".join(content_of(file) for file in files)
    if len(content) != one.realsize:
        raise AisBenchError(f"{one.name}: tensorsize:{one.realsize} filesize:{len(content)} not match")
    return np.frombuffer(content, one.dtype).reshape(one.shape)


def save(array, path, outfmt):
    if outfmt == "BIN":
        array.tofile(path)
    elif outfmt == "NPY":
        np.save(path, array)
    else:
        rows = array.reshape(-1, array.shape[-1] if array.ndim else 1)
        np.savetxt(path, rows, fmt="%f" if array.dtype.kind == "f" else "%d")


def latency(times):
    return {
        "min": float(np.min(times)),
        "max": float(np.max(times)),
        "mean": float(np.mean(times)),
        "median": float(np.median(times)),
        "percentile(99%)": float(np.percentile(times, 99)),
        "count": len(times),
    }


def write_summary(path, filesinfo, spans, batch, *, threads=1, words=("--model", "model.om")):
    """Both forms; with several threads the list holds begin and end, and the rest is mean and count."""
    times = [end - start for start, end in spans]
    several = threads > 1
    rows = {key: latency(times) for key in ("NPU_compute_time", "H2D_latency", "D2H_latency")}
    if several:
        rows = {key: {"mean": row["mean"], "count": row["count"]} for key, row in rows.items()}
    content = {
        "filesinfo": filesinfo,
        "args": ["/usr/lib/ais_bench/__main__.py", *words],
        **rows,
        "npu_compute_time_list": [list(span) for span in spans] if several else times,
        "throughput": 1000 * batch / float(np.mean(times)),
        "pid": os.getpid(),
    }
    if path is not None:
        path.write_text(json.dumps(content))
    return content


def run(model, argument, output, dirname="result", *, outfmt="BIN", pipeline=False, threads=1, loop=1, axis=0):
    """The command; gives back the output folder. Several threads need `pipeline`, else they are reset to one."""
    folder = Path(output) / dirname
    filesinfo, spans, batch = infer_files(
        model, argument, folder, outfmt=outfmt, pipeline=pipeline, loop=loop, axis=axis
    )
    write_summary(Path(output) / f"{dirname}_summary.json", filesinfo, spans, batch, threads=threads if pipeline else 1)
    return folder


def infer_files(model, argument, folder, *, outfmt="BIN", pipeline=False, loop=1, axis=0, warmup=0):
    """All files into `folder` (nowhere if None); files by sample, spans of time in ms, files a batch."""
    lists = input_lists(argument, model.inputs)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    filesinfo, spans, batch = {}, [], 1
    for indices, count in batches_of(lists, model.inputs):
        batch = len(indices)
        if pipeline and batch > 1:
            raise AisBenchError("in the pipeline one file is one tensor: filesize and tensorsize not match")
        # A shorter list of another input is not checked by ais_bench either: IndexError.
        taken = [[files[index] for index in indices] for files in lists]
        arrays = [combined(files, one) for files, one in zip(taken, model.inputs, strict=True)]
        for _ in range(warmup if not spans else 0):
            model.execute(arrays)
        for _ in range(loop):
            start = time.perf_counter() * 1e3
            outputs = model.execute(arrays)
            spans.append((start, time.perf_counter() * 1e3))
        if folder is None:
            continue
        if pipeline:
            name = taken[0][0].stem
            for number, array in enumerate(outputs):
                save(array, folder / f"{name}_{number}.{outfmt.lower()}", outfmt)
            continue
        save_batch(outputs, taken, (indices[0], count), (folder, outfmt, axis), filesinfo)
    return filesinfo, spans, batch


def save_batch(outputs, taken, position, target, filesinfo):
    """Split each output, skip what filled the batch, note the files."""
    (first, count), (folder, outfmt, axis) = position, target
    batch = len(taken[0])
    for number, array in enumerate(outputs):
        if array.ndim <= axis or array.shape[axis] % batch:
            raise AisBenchError("save out files error: the batch axis cannot be split")
        for row, part in enumerate(np.array_split(array, batch, axis)):
            if first + row >= count:
                continue
            path = folder / f"{taken[0][row].name.split('.')[0]}_{number}.{outfmt.lower()}"
            save(part, path, outfmt)
            entry = filesinfo.setdefault(
                str(first + row), {"infiles": [str(files[row]) for files in taken], "outfiles": []}
            )
            entry["outfiles"].append(str(path))
