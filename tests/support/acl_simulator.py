"""Stands in for CANN's module `acl`: runs om files that are ONNX files in truth, and is as strict as the real one.

Whatever the real module leaves undefined (a handle used after it was freed, a buffer of the wrong size, a setter that
is missing or repeated, another context than the model's, two threads in one model, anything left at `finalize`) is
written down in `errors`, which must be empty at the end of a test. Memory is real: pointers can be copied from.
"""

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from acl_process import (
    CODES,
    INJECTED,
    INVALID_PARAM,
    RT_CONTEXT_NULL,
    AclProcess,
    Buffer,
    Dataset,
    RefusedError,
    TensorDesc,
    api,
    returns_bare,
    returns_code,
    returns_value,
)
from om_file import GEAR_INPUT, Model, write_graph, write_om

__all__ = ["GEAR_INPUT", "INJECTED", "AclSimulator", "write_graph", "write_om"]
GE_PARAM_INVALID, GE_PATH_INVALID, RT_EXECUTE = 145000, 145002, 507011


@dataclass
class _Desc:
    model: int | None = None


class AclSimulator(AclProcess):
    """The module."""

    @api("mdl.load_from_file", returns_value)
    def _load(self, path: str) -> tuple[int, int]:
        try:
            model = Model(Path(path), self.thread.context)
        except Exception as error:  # A broken file is the world's fault, whatever ONNX Runtime raises.
            raise RefusedError(GE_PATH_INVALID, str(error), misuse=False) from error
        return self.add(model), 0

    def _loaded(self, model: int) -> Any:
        found = self.get(model, Model)
        if found.context != self.thread.context:
            raise RefusedError(RT_CONTEXT_NULL, "the model was loaded in another context")
        return found

    @api("mdl.unload", returns_code)
    def _unload(self, model: int) -> int:
        self._loaded(model)
        del self._live[model]
        return 0

    @api("mdl.create_desc", returns_bare)
    def _create_desc(self) -> int:
        return self.add(_Desc())

    @api("mdl.destroy_desc", returns_code)
    def _destroy_desc(self, desc: int) -> int:
        self.drop(desc, _Desc)
        return 0

    @api("mdl.get_desc", returns_code)
    def _get_desc(self, desc: int, model: int) -> int:
        self.get(model, Model)
        self.get(desc, _Desc).model = model
        return 0

    def _described(self, desc: int) -> Any:
        return self.get(self.get(desc, _Desc).model or 0, Model)

    @api("mdl.get_num_inputs", returns_bare)
    def _num_inputs(self, desc: int) -> int:
        return len(self._described(desc).inputs)

    @api("mdl.get_num_outputs", returns_bare)
    def _num_outputs(self, desc: int) -> int:
        return len(self._described(desc).outputs)

    @api("mdl.get_input_name_by_index", lambda _: "")
    def _input_name(self, desc: int, index: int) -> str:
        return str(self._described(desc).inputs[index])

    @api("mdl.get_output_name_by_index", lambda _: "")
    def _output_name(self, desc: int, index: int) -> str:
        return f"Operator_{index}:0:{self._described(desc).outputs[index]}"

    @api("mdl.get_input_data_type", lambda _: -1)
    def _input_type(self, desc: int, index: int) -> int:
        model = self._described(desc)
        return CODES[model.dtypes.get(model.inputs[index], "int64")]

    @api("mdl.get_output_data_type", lambda _: -1)
    def _output_type(self, desc: int, index: int) -> int:
        model = self._described(desc)
        return CODES[model.dtypes[model.outputs[index]]]

    @api("mdl.get_input_size_by_index", returns_bare)
    def _input_size(self, desc: int, index: int) -> int:
        model = self._described(desc)
        return int(model.input_size(model.inputs[index]))

    @api("mdl.get_output_size_by_index", returns_bare)
    def _output_size(self, desc: int, index: int) -> int:
        return int(self._described(desc).output_size(index))

    @api("mdl.get_input_dims", returns_value)
    def _input_dims(self, desc: int, index: int) -> tuple[dict[str, Any], int]:
        model = self._described(desc)
        name = model.inputs[index]
        return _dims(name, model.shapes.get(name) or [len(model.gears[0])] * (name == GEAR_INPUT)), 0

    @api("mdl.get_output_dims", returns_value)
    def _output_dims(self, desc: int, index: int) -> tuple[dict[str, Any], int]:
        model = self._described(desc)
        known = list(model.results.values())
        return _dims(model.outputs[index], known[0][index] if len(known) == 1 else [-1]), 0

    @api("mdl.get_cur_output_dims", returns_value)
    def _cur_output_dims(self, desc: int, index: int) -> tuple[dict[str, Any], int]:
        model = self._described(desc)
        if not model.current:
            raise RefusedError(GE_PARAM_INVALID, "no gear was set")
        return _dims(model.outputs[index], model.current[index]), 0

    @api("mdl.get_dynamic_batch", returns_value)
    def _dynamic_batch(self, desc: int) -> tuple[dict[str, Any], int]:
        model = self._described(desc)
        sizes = [gear[0] for gear in model.gears] if model.kind == "batch" else []
        return {"batchCount": len(sizes), "batch": sizes}, 0

    @api("mdl.get_dynamic_hw", returns_value)
    def _dynamic_hw(self, desc: int, index: int) -> tuple[dict[str, Any], int]:
        model = self._described(desc)
        sizes = [list(gear) for gear in model.gears] if model.kind == "image" else []
        return {"hwCount": len(sizes), "hw": sizes}, 0

    @api("mdl.get_input_dynamic_gear_count", returns_value)
    def _gear_count(self, desc: int, index: int) -> tuple[int, int]:
        _require_all_inputs(index)
        model = self._described(desc)
        return len(model.gears) if model.kind == "dims" else 0, 0

    @api("mdl.get_input_dynamic_dims", returns_value)
    def _dynamic_dims(self, desc: int, index: int, count: int) -> tuple[list[dict[str, Any]], int]:
        _require_all_inputs(index)
        gears = self._described(desc).gears
        if count < len(gears):
            raise RefusedError(INVALID_PARAM, f"room for {count} gears, the om has {len(gears)}")
        return [_dims("", gear) for gear in gears], 0

    @api("mdl.set_dynamic_batch_size", returns_code)
    def _set_batch(self, model: int, dataset: int, index: int, batch: int) -> int:
        return self._set_gear("batch", model, dataset, index, (batch,))

    @api("mdl.set_dynamic_hw_size", returns_code)
    def _set_hw(self, model: int, dataset: int, index: int, height: int, width: int) -> int:
        return self._set_gear("image", model, dataset, index, (height, width))

    @api("mdl.set_input_dynamic_dims", returns_code)
    def _set_dims(self, model: int, dataset: int, index: int, dims: dict[str, Any]) -> int:
        if dims["dimCount"] != len(dims["dims"]):
            raise RefusedError(INVALID_PARAM, f"{dims['dimCount']} dims announced, {len(dims['dims'])} given")
        return self._set_gear("dims", model, dataset, index, tuple(dims["dims"]))

    def _set_gear(self, kind: str, handle: int, dataset: int, index: int, setting: tuple[int, ...]) -> int:
        model, target = self._loaded(handle), self.get(dataset, Dataset)
        if model.kind != kind or setting not in model.gears:
            raise RefusedError(GE_PARAM_INVALID, f"{kind} {setting}: this om has {model.kind} {model.gears}")
        if model.inputs[index] != GEAR_INPUT or len(target.buffers) != len(model.inputs):
            raise RefusedError(GE_PARAM_INVALID, "not the gear input of a whole dataset")
        if target.setting is not None:
            raise RefusedError(GE_PARAM_INVALID, "the gear is set already")
        target.setting, model.current = setting, model.results[setting]
        return 0

    @api("mdl.execute", returns_code)
    def _execute(self, handle: int, source: int, target: int) -> int:
        model = self._loaded(handle)
        if model.running:
            raise RefusedError(INVALID_PARAM, "two threads run one model")
        model.running = True
        try:
            feeds = self._feeds(model, self.get(source, Dataset))
            try:
                values = model.execute(feeds)
            except Exception as error:  # As at loading.
                raise RefusedError(RT_EXECUTE, str(error), misuse=False) from error
            self._deliver(model, self.get(target, Dataset), values)
        finally:
            model.running = False
        return 0

    def _feeds(self, model: Any, dataset: Dataset) -> dict[str, Any]:
        if len(dataset.buffers) != len(model.inputs):
            raise RefusedError(INVALID_PARAM, f"{len(dataset.buffers)} buffers for {len(model.inputs)} inputs")
        shapes, feeds = self._shapes(model, dataset), {}
        for name, handle in zip(model.inputs, dataset.buffers, strict=True):
            buffer = self.get(handle, Buffer)
            block = self.block(buffer.pointer, buffer.size)
            needed = prod(shapes[name]) * np.dtype(model.dtypes[name]).itemsize if name in shapes else 0
            if buffer.size != (model.input_size(name) or needed) or block.written != needed:
                raise RefusedError(
                    INVALID_PARAM, f"{name}: {needed} bytes needed, {block.written} written, buffer of {buffer.size}"
                )
            if name in shapes:
                feeds[name] = block.array[:needed].view(model.dtypes[name]).reshape(shapes[name])
            block.written = 0
        return feeds

    def _shapes(self, model: Any, dataset: Dataset) -> dict[str, list[int]]:
        if model.kind == "shape":
            if set(dataset.descs) != set(range(len(model.inputs))):
                raise RefusedError(INVALID_PARAM, f"only the inputs {sorted(dataset.descs)} are described")
            descs = [self.get(dataset.descs[index], TensorDesc) for index in range(len(model.inputs))]
            return {name: desc.dims for name, desc in zip(model.inputs, descs, strict=True)}
        if dataset.descs or (model.gears and dataset.setting is None):
            raise RefusedError(GE_PARAM_INVALID, "no gear is set, or inputs of fixed shapes are described")
        setting, dataset.setting = dataset.setting or (), None
        return dict(model.shapes_of(setting))

    def _deliver(self, model: Any, dataset: Dataset, values: list[Any]) -> None:
        if len(dataset.buffers) != len(values):
            raise RefusedError(INVALID_PARAM, f"{len(dataset.buffers)} buffers for {len(values)} outputs")
        for index, (handle, value) in enumerate(zip(dataset.buffers, values, strict=True)):
            buffer = self.get(handle, Buffer)
            name = model.outputs[index]
            raw = np.ascontiguousarray(value).reshape(-1).view(np.uint8)
            if model.kind == "shape":
                dataset.descs[index] = self.add(TensorDesc(list(value.shape), model.dtypes[name], owned=False))
                if buffer.pointer == 0:
                    buffer.pointer, buffer.size = self.allocate(raw.nbytes), raw.nbytes
            elif buffer.size != model.output_size(index):
                raise RefusedError(INVALID_PARAM, f"{name}: buffer of {buffer.size}, not {model.output_size(index)}")
            self.block(buffer.pointer, raw.nbytes).array[: raw.nbytes] = raw


def _require_all_inputs(index: int) -> None:
    if index != -1:
        raise RefusedError(INVALID_PARAM, f"the index is {index}; gears are those of all inputs, -1")


def _dims(name: str, dims: Any) -> dict[str, Any]:
    return {"name": name, "dimCount": len(dims), "dims": list(dims)}
