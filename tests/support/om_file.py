"""Om files of the simulator of `acl`: an ONNX file, and beside it a JSON file with what atc would have been told."""

import json
import shutil
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

GEAR_INPUT = "ascend_mbatch_shape_data"
GRAPHS = {
    "sound": """<ir_version: 8, opset_import: ["": 17]>
        sound (float[batch, time] values, int64[batch] lengths)
            => (float[batch, time, 1] logits, int64[batch] output_lengths) {
          axes = Constant<value_ints=[2]>()
          doubled = Add(values, values)
          logits = Unsqueeze(doubled, axes)
          output_lengths = Identity(lengths)
        }""",
    "picture": """<ir_version: 8, opset_import: ["": 17]>
        picture (float[batch, 3, height, width] pixels) => (float[batch, 3] means) {
          means = ReduceMean<axes=[2, 3], keepdims=0>(pixels)
        }""",
    "sum": """<ir_version: 8, opset_import: ["": 17]>
        sum (float[batch, width] values) => (float[one, width] total) {
          axes = Constant<value_ints=[0]>()
          total = ReduceSum<keepdims=1>(values, axes)
        }""",
}


def write_graph(name: str, path: Path) -> Path:
    """One of `GRAPHS`, as an ONNX file."""
    onnx.save(onnx.parser.parse_model(GRAPHS[name]), path)
    return path


def write_om(
    onnx: Path,
    path: Path,
    shapes: Mapping[str, Sequence[int]],
    *,
    kind: str = "static",
    gears: Sequence[Sequence[int]] = (),
    dtypes: Mapping[str, str] | None = None,
    gear_index: int | None = None,
) -> Path:
    """An om for the simulator. `kind`: static, batch, image, dims or shape; -1 in `shapes` is set at run time."""
    shutil.copy(onnx, path)
    row = {"shapes": shapes, "kind": kind, "gears": gears, "dtypes": dtypes or {}, "gear_index": gear_index}
    path.with_name(f"{path.name}.simulated.json").write_text(json.dumps(row))
    return path


class Model:
    """A loaded om: the ONNX session, its ports and the output shapes of every gear."""

    def __init__(self, path: Path, context: int) -> None:
        row = json.loads(path.with_name(f"{path.name}.simulated.json").read_text())
        options = ort.SessionOptions()
        options.log_severity_level, options.intra_op_num_threads = 4, 1
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.context, self.kind, self.running = context, row["kind"], False
        self.gears = [tuple(gear) for gear in row["gears"]]
        self.shapes = {one.name: list(row["shapes"][one.name]) for one in self.session.get_inputs()}
        self.graph_dtypes = {one.name: _dtype(one.type) for one in self.session.get_inputs()}
        outputs = self.session.get_outputs()
        self.outputs = [one.name for one in outputs]
        self.dtypes = self.graph_dtypes | {one.name: _dtype(one.type) for one in outputs} | row["dtypes"]
        self.inputs = list(self.shapes)
        if self.gears:
            at = row["gear_index"]
            self.inputs.insert(len(self.inputs) if at is None else at, GEAR_INPUT)
        self.current: list[list[int]] = []
        settings = self.gears or ([()] if self.kind == "static" else [])
        self.results = {setting: self._dry_run(self.shapes_of(setting)) for setting in settings}

    def shapes_of(self, setting: tuple[int, ...]) -> dict[str, list[int]]:
        if self.kind == "dims":
            sizes = iter(setting)
            return {name: [next(sizes) for _ in shape] for name, shape in self.shapes.items()}
        filled = {}
        for name, shape in self.shapes.items():
            sizes = iter(setting)
            filled[name] = [next(sizes) if dim == -1 else dim for dim in shape]
        return filled

    def _dry_run(self, shapes: Mapping[str, list[int]]) -> list[list[int]]:
        feeds = {name: np.ones(shape, self.graph_dtypes[name]) for name, shape in shapes.items()}
        return [list(value.shape) for value in self.session.run(self.outputs, feeds)]

    def input_size(self, name: str) -> int:
        if name == GEAR_INPUT:
            return 8 * len(self.gears[0])
        settings = self.gears or ([()] if self.kind == "static" else [])
        sizes = [prod(self.shapes_of(setting)[name]) for setting in settings]
        return max(sizes, default=0) * np.dtype(self.dtypes[name]).itemsize

    def output_size(self, index: int) -> int:
        sizes = [prod(dims[index]) for dims in self.results.values()]
        return max(sizes, default=0) * np.dtype(self.dtypes[self.outputs[index]]).itemsize


def _dtype(onnx_type: str) -> str:
    name = onnx_type.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(name, name)
