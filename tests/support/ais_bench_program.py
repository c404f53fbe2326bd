"""A simulator of the program ais_bench (``python -m ais_bench`` and ``msit benchmark``): its options, and om files."""

import argparse
import re
import sys
import time
from pathlib import Path

import numpy as np
from ais_bench import AisBenchError, Tensor, check_path, infer_files, save, write_summary
from om_file import GEAR_INPUT, Model

SIZE = re.compile(r"[1-9][0-9]{0,4}")
NAME = re.compile(r"[_A-Za-z0-9/.-]{1,256}")
SHAPES = re.compile(r"[_A-Za-z0-9,;:/.-]+")
MOST_DIMS = 7


class Om:
    """An om in one of its gears."""

    def __init__(self, path, args):
        self.model = Model(path)
        self.setting = setting_of(self.model, args)
        shapes = self.model.shapes_of(self.setting)
        names = [name for name in self.model.inputs if name != GEAR_INPUT]
        self.inputs = [Tensor(name, np.dtype(self.model.dtypes[name]), tuple(shapes[name])) for name in names]

    def execute(self, arrays):
        return self.model.execute({one.name: array for one, array in zip(self.inputs, arrays, strict=True)})

    @property
    def batch(self):
        return self.inputs[0].shape[0] if self.inputs[0].shape else 1


def setting_of(model, args):
    """What the setter takes; each option only for the om that it is for."""
    options = {"batch": args.dym_batch, "image": args.dym_hw, "dims": args.dym_dims}
    for kind, value in options.items():
        if value and kind != model.kind:
            raise AisBenchError(f"the om is {model.kind}, not of dynamic {kind}: {value} cannot be set")
    if model.kind == "static":
        return ()
    if not options.get(model.kind):
        raise AisBenchError(f"the om has the dynamic {model.kind} {model.gears}, and none is set")
    setting = {"batch": _batch, "image": _image, "dims": _dims}[model.kind](model, options[model.kind])
    if setting not in model.gears:
        raise AisBenchError(f"{setting} is no gear of the om, which has {model.gears}")
    return setting


def _batch(_, value):
    return (value,)


def _image(_, value):
    return tuple(_sizes(value))


def _dims(model, value):
    if not SHAPES.fullmatch(value):
        raise AisBenchError(f"dymDims {value} contains invalid characters")
    found = {}
    for entry in value.split(";"):
        if entry.count(":") != 1:
            raise AisBenchError(f"dymDims {entry}: expected one colon")
        name, _, sizes = entry.partition(":")
        if not NAME.fullmatch(name) or name in found:
            raise AisBenchError(f"dymDims {entry}: the name is illegal or stands twice")
        found[name] = _sizes(sizes)
    if set(found) != set(model.shapes):
        raise AisBenchError(f"dymDims names {sorted(found)}, the om takes {sorted(model.shapes)}")
    # In the order given, which must be that of atc's --input_shape.
    return tuple(size for sizes in found.values() for size in sizes)


def _sizes(text):
    words = text.split(",")
    if len(words) > MOST_DIMS or not all(SIZE.fullmatch(word) for word in words):
        raise AisBenchError(f"{text}: 1 to {MOST_DIMS} sizes of one to five digits that do not begin with 0")
    return [int(word) for word in words]


def _flag(text):
    if text.lower() not in {"0", "1", "true", "false", "yes", "no", "y", "n", "t", "f"}:
        raise argparse.ArgumentTypeError(f"{text} is no boolean")
    return text.lower() in {"1", "true", "yes", "y", "t"}


def _number(least, most):
    def read(text):
        if not text.isdigit() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f"{text} is not in {least} to {most}")
        return int(text)

    return read


def parser():
    found = argparse.ArgumentParser("ais_bench", allow_abbrev=False)
    add = found.add_argument
    add("--model", "-m", "--om-model", "-om", required=True)
    add("--input", "-i")
    add("--output", "-o")
    add("--output_dirname", "--output-dirname", "-od")
    add("--outfmt", choices=["BIN", "NPY", "TXT"], default="BIN")
    add("--loop", type=_number(1, 100_000), default=1)
    add("--warmup_count", "--warmup-count", "-wcount", type=_number(0, 10_000), default=1)
    add("--device", "-d", type=_number(0, 255), default=0)
    add("--debug", type=_flag, default=False)
    add("--display_all_summary", "--display-all-summary", "-das", type=_flag, default=False)
    add("--dymBatch", "--dym-batch", "-db", dest="dym_batch", type=_number(1, 4096), default=0)
    add("--dymHW", "--dym-hw", "-dhw", dest="dym_hw", default="")
    add("--dymDims", "--dym-dims", "-dd", dest="dym_dims", default="")
    add("--batchsize", "--batch-size", type=_number(1, 4096))
    add("--output_batchsize_axis", "--output-batchsize-axis", "-oba", type=_number(0, 8), default=0)
    add("--pure_data_type", "--pure-data-type", "-pdt", choices=["zero", "random"], default="zero")
    add("--run_mode", "--run-mode", "-rm", choices=["array", "full"], default="array")
    add("--pipeline", type=_flag, default=False)
    add("--threads", type=_number(1, 64), default=1)
    return found


def pure(om, args, folder):
    """Without input: one sample of zeros, or of random bytes."""
    random = np.random.default_rng(0)
    contents = [
        random.bytes(one.realsize) if args.pure_data_type == "random" else bytes(one.realsize) for one in om.inputs
    ]
    arrays = [np.frombuffer(raw, one.dtype).reshape(one.shape) for raw, one in zip(contents, om.inputs, strict=True)]
    for _ in range(args.warmup_count):
        om.execute(arrays)
    spans = []
    for _ in range(args.loop):
        start = time.perf_counter() * 1e3
        outputs = om.execute(arrays)
        spans.append((start, time.perf_counter() * 1e3))
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
        for index, array in enumerate(outputs):
            save(array, folder / f"pure_infer_data_{index}.{args.outfmt.lower()}", args.outfmt)
    return {}, spans, 1


def infer(args, words):
    path = Path(args.model)
    if path.suffix != ".om" or not path.is_file():
        raise AisBenchError(f"{path} is no om file")
    check_path(path)
    if args.output_dirname and (not args.output or Path(args.output_dirname).is_absolute()):
        raise AisBenchError("output_dirname is relative, and needs output")
    om, folder = Om(path, args), None
    if args.output:
        folder = Path(args.output) / (args.output_dirname or time.strftime("%Y_%m_%d-%H_%M_%S"))
    if args.input is None:
        filesinfo, spans, _ = pure(om, args, folder)
    else:
        modes = {"outfmt": args.outfmt, "pipeline": args.pipeline, "axis": args.output_batchsize_axis}
        filesinfo, spans, _ = infer_files(om, args.input, folder, loop=args.loop, warmup=args.warmup_count, **modes)
    batch = args.batchsize or args.dym_batch or om.batch
    target = None if folder is None else folder.parent / f"{folder.name}_summary.json"
    threads = args.threads if args.pipeline else 1
    return batch, write_summary(target, filesinfo, spans, batch, threads=threads, words=words)


def shown(content, batch, *, everything):
    """What stands on the screen; READMEs of models tell people to look for these lines."""
    yield "-----------------Performance Summary------------------"
    for key in ["H2D_latency", "NPU_compute_time", "D2H_latency"] if everything else ["NPU_compute_time"]:
        row = ", ".join(f"{name} = {value}" for name, value in content[key].items() if name != "count")
        yield f"{key} (ms): {row}"
    mean = content["NPU_compute_time"]["mean"]
    yield f"throughput 1000*batchsize.mean({batch})/NPU_compute_time.mean({mean}): {content['throughput']}"
    yield "------------------------------------------------------"


def main(words):
    args = parser().parse_args(words)
    try:
        batch, content = infer(args, words)
    except (AisBenchError, OSError, ValueError, IndexError) as error:
        sys.stdout.write(f"[ERROR] {error}\n")
        return 1
    sys.stdout.writelines(f"[INFO] {line}\n" for line in shown(content, batch, everything=args.display_all_summary))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
