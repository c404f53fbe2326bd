"""Om files of the simulators: one ONNX file, whose metadata hold what atc was told."""

import json
from collections.abc import Mapping, Sequence
from math import prod
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort

GEAR_INPUT = "ascend_mbatch_shape_data"
METADATA = "simulated_om"
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
    graph: Path | onnx.ModelProto,
    path: Path,
    shapes: Mapping[str, Sequence[int]],
    *,
    kind: str = "static",
    gears: Sequence[Sequence[int]] = (),
    dtypes: Mapping[str, str] | None = None,
    order: Sequence[str] | None = None,
    gear_index: int | None = None,
    precision: str = "fp32",
    aipp: Mapping[str, object] | None = None,
) -> Path:
    """An om for the simulators.

    Args:
        graph: What it computes.
        path: The om.
        shapes: Of every input, as the om states them; -1 is set at run time.
        kind: ``static``, ``batch``, ``image``, ``dims`` or ``shape``.
        gears: What the setters take: all sizes of the inputs in `order` for ``dims``.
        order: Inputs as atc's ``--input_shape`` named them, the graph's own order if None; fixed ones may be left out.
        dtypes: Of inputs and outputs that are not the graph's.
        gear_index: Place of the gear input among the inputs, the last if None.
        precision: ``fp32``, or what runs without ONNX Runtime's own rewrites, so that every rounding takes place.
        aipp: ``input``, and per channel ``mean``, ``min`` and ``var``; ``swap`` for BGR: that input is uint8, NHWC.
    """
    model = onnx.load(graph) if isinstance(graph, Path) else graph
    row = {"shapes": shapes, "kind": kind, "gears": gears, "dtypes": dtypes or {}, "gear_index": gear_index}
    row |= {"precision": precision, "aipp": aipp, "order": order, "results": None}
    _save(model, path, row)
    # Every gear runs once when it is compiled, and not at every load.
    _save(model, path, row | {"results": list(Model(path).results.values())})
    path.chmod(0o640)
    return path


def _save(model: onnx.ModelProto, path: Path, row: Mapping[str, object]) -> None:
    onnx.helper.set_model_props(model, {METADATA: json.dumps(row)})
    onnx.save(model, path)


class Model:
    """A loaded om: the ONNX session, its ports and the output shapes of every gear."""

    def __init__(self, path: Path, context: int = 0) -> None:
        options = ort.SessionOptions()
        options.log_severity_level, options.intra_op_num_threads = 4, 1
        row = json.loads(_metadata(path))
        if row["precision"] != "fp32":
            options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self.context, self.kind, self.running = context, row["kind"], False
        self.aipp, self.precision = row["aipp"], row["precision"]
        self.gears = [tuple(gear) for gear in row["gears"]]
        self.shapes = {one.name: list(row["shapes"][one.name]) for one in self.session.get_inputs()}
        self.graph_dtypes = {one.name: _dtype(one.type) for one in self.session.get_inputs()}
        outputs = self.session.get_outputs()
        self.outputs = [one.name for one in outputs]
        self.dtypes = self.graph_dtypes | {one.name: _dtype(one.type) for one in outputs} | row["dtypes"]
        self.inputs = list(self.shapes)
        self.order = row.get("order") or list(self.shapes)
        if self.gears:
            at = row["gear_index"]
            self.inputs.insert(len(self.inputs) if at is None else at, GEAR_INPUT)
        self.current: list[list[int]] = []
        self.settings = self.gears or ([()] if self.kind == "static" else [])
        known = row["results"] or [self._dry_run(setting) for setting in self.settings]
        self.results = dict(zip(self.settings, known, strict=True))
        """Output shapes of every gear; none for any shape."""

    def shapes_of(self, setting: tuple[int, ...]) -> dict[str, list[int]]:
        if self.kind == "dims":
            sizes = iter(setting)
            listed = {name: [next(sizes) for _ in self.shapes[name]] for name in self.order}
            return {name: listed.get(name, shape) for name, shape in self.shapes.items()}
        filled = {}
        for name, shape in self.shapes.items():
            sizes = iter(setting)
            filled[name] = [next(sizes) if dim == -1 else dim for dim in shape]
        return filled

    def _dry_run(self, setting: tuple[int, ...]) -> list[list[int]]:
        shapes = self.shapes_of(setting)
        feeds = {name: np.ones(shape, self.dtypes[name]) for name, shape in shapes.items()}
        return [list(value.shape) for value in self.execute(feeds)]

    def execute(self, feeds: Mapping[str, np.ndarray]) -> list[np.ndarray]:
        """Inputs and outputs in the om's dtypes and layouts."""
        taken = {name: self._taken(name, value) for name, value in feeds.items()}
        with np.errstate(over="ignore", invalid="ignore"):
            values = zip(self.outputs, self.session.run(self.outputs, taken), strict=True)
            return [value.astype(self.dtypes[name]) for name, value in values]

    def _taken(self, name: str, value: np.ndarray) -> np.ndarray:
        if self.aipp and name == self.aipp["input"]:
            value = preprocess(value, self.aipp)
        return value.astype(self.graph_dtypes[name])

    def input_size(self, name: str) -> int:
        if name == GEAR_INPUT:
            return 8 * len(self.gears[0])
        sizes = [prod(self.shapes_of(setting)[name]) for setting in self.settings]
        return max(sizes, default=0) * np.dtype(self.dtypes[name]).itemsize

    def output_size(self, index: int) -> int:
        sizes = [prod(dims[index]) for dims in self.results.values()]
        return max(sizes, default=0) * np.dtype(self.dtypes[self.outputs[index]]).itemsize


def preprocess(pixels: np.ndarray, aipp: Mapping[str, object]) -> np.ndarray:
    """AIPP: (pixel - mean - min) * var of uint8 NHWC, every step in half precision; NCHW."""
    half = (pixels[..., ::-1] if aipp.get("swap") else pixels).astype(np.float16)
    mean, least, factor = (np.asarray(aipp[key], np.float16) for key in ("mean", "min", "var"))
    return np.moveaxis((half - mean - least) * factor, -1, 1)


def _metadata(path: Path) -> str:
    found = {prop.key: prop.value for prop in onnx.load(path, load_external_data=False).metadata_props}
    if METADATA not in found:
        raise ValueError(f"{path} is no om of the simulated atc")
    return found[METADATA]


def _dtype(onnx_type: str) -> str:
    name = onnx_type.removeprefix("tensor(").removesuffix(")")
    return {"float": "float32", "double": "float64"}.get(name, name)
