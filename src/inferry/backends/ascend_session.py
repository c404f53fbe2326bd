"""An om file on an Ascend NPU, through CANN's pyACL."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from math import prod
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from inferry.backends.ascend_gears import Gear, Shape, choose, pad, rows
from inferry.backends.ascend_model import (
    DTYPE_CODES,
    Kind,
    Om,
    Origin,
    describe,
    growing_axes,
    output_specs,
    read_origin,
    sizes_of,
)
from inferry.backends.ascend_runtime import Acl, attach, detach, device_name, start
from inferry.backends.ascend_tensors import cut, to_om
from inferry.core.errors import BackendError
from inferry.core.specs import Array

_HOST_TO_DEVICE, _DEVICE_TO_HOST = 1, 2
_ND = 2  # aclFormat; acl takes an input's own format, whatever stands here


class AscendSession:
    """An om loaded on a device, in a context of its own.

    Everything that acl hands out goes on a stack the moment it is there, so that it is freed on every path.

    Args:
        acl: The module.
        model: The om.
        precision: That it must have been compiled for.
        device: Number of the NPU.
        origin: The graph that it was compiled from; None for what the file beside it says.

    Raises:
        BackendError: It cannot be loaded, or was compiled for another precision.
    """

    def __init__(self, acl: Acl, model: Path, precision: str, device: int, origin: Origin | None = None) -> None:
        self._acl = acl
        self._lock = Lock()
        self._name = model.name
        self._origin = origin or read_origin(model)
        self._precision = _precision(model, self._origin.precision if self._origin else None, precision)
        start(acl, device)
        with ExitStack() as stack:
            self._context = acl.call("rt.create_context", device)
            stack.callback(acl.call, "rt.destroy_context", self._context)
            self._model = self._load(stack, model)
            self._desc = acl.get("mdl.create_desc")
            stack.callback(acl.call, "mdl.destroy_desc", self._desc)
            acl.call("mdl.get_desc", self._desc, self._model)
            self._om = describe(acl, self._desc)
            self._growing = growing_axes(self._om, self._origin)
            self._specs = output_specs(self._om, self._origin)
            self._memory = self._reserve(stack, self._om)
            self._device = device_name(acl, device)
            self._version = acl.version()
            # Closing may happen in another thread than opening.
            stack.callback(acl.call, "rt.set_context", self._context)
            self._resources: ExitStack | None = stack.pop_all()
        attach(acl, self)

    def _load(self, stack: ExitStack, model: Path) -> int:
        try:
            found: int = self._acl.call("mdl.load_from_file", str(model))
        except BackendError as error:
            raise BackendError(f"{model} cannot be loaded: {error}") from error
        stack.callback(self._acl.call, "mdl.unload", found)
        return found

    def _reserve(self, stack: ExitStack, om: Om) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """Addresses and sizes of all inputs and of all outputs, for the largest gear; none for a dynamic shape."""
        if om.kind is Kind.SHAPE:
            return [], []
        sizes = [port.size for port in om.inputs]
        if om.gear_index is not None:
            sizes.insert(om.gear_index, om.gear_size)
        inputs = [(self._acl.malloc(stack, size), size) for size in sizes]
        return inputs, [(self._acl.malloc(stack, port.size), port.size) for port in om.outputs]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See `inferry.core.protocols.Session.run`.

        The batch is padded to the smallest gear that takes it; what was padded is cut from the outputs.
        """
        with self._lock:
            if self._resources is None:
                raise BackendError("this session is closed")
            arrays = self._accept(inputs)
            shapes = [array.shape for array in arrays]
            with ExitStack() as stack:
                self._acl.call("rt.set_context", self._context)
                if self._om.kind is Kind.SHAPE:
                    return cut(self._run_any_shape(stack, arrays), self._specs, None)
                gear = choose(self._om.gears, shapes, self._growing)
                padded = [pad(array, shape) for array, shape in zip(arrays, gear.shapes, strict=True)]
                return cut(self._run_gear(stack, padded, gear), self._specs, rows(gear, shapes, self._growing))

    @property
    def gears(self) -> tuple[Gear, ...]:
        """The shapes it was compiled for; none where it takes any."""
        return self._om.gears

    def choose(self, shapes: Mapping[str, Shape], gears: Sequence[Gear]) -> Gear:
        """The smallest of these gears, its own or of further files of the same graph, that takes these inputs.

        Raises:
            BackendError: None does, or they are not the graph's inputs.
        """
        self._require(shapes)
        return choose(gears, [shapes[port.name] for port in self._om.inputs], self._growing)

    def chosen_shapes(self, shapes: Mapping[str, Shape], gears: Sequence[Gear]) -> dict[str, Shape]:
        """The shapes of the gear that `choose` takes, by input.

        Raises:
            BackendError: As for `choose`.
        """
        gear = self.choose(shapes, gears)
        return {port.name: shape for port, shape in zip(self._om.inputs, gear.shapes, strict=True)}

    def _require(self, shapes: Mapping[str, Shape]) -> None:
        names = [port.name for port in self._om.inputs]
        if set(shapes) != set(names):
            raise BackendError(f"this om takes the inputs {names}, not {sorted(shapes)}")
        if empty := [name for name, shape in shapes.items() if 0 in shape]:
            raise BackendError(f"the inputs {empty} are empty: an NPU runs at least one row of at least one element")

    def _accept(self, inputs: Mapping[str, Array]) -> list[Array]:
        self._require({name: array.shape for name, array in inputs.items()})
        origin = {spec.name: spec.dtype for spec in self._origin.inputs} if self._origin else {}
        return [to_om(inputs[port.name], port, origin.get(port.name)) for port in self._om.inputs]

    def _run_gear(self, stack: ExitStack, arrays: Sequence[Array], gear: Gear) -> list[Array]:
        reserved, results = self._memory
        source, _ = self._dataset(stack, reserved)
        target, _ = self._dataset(stack, results)
        fed = [memory for index, memory in enumerate(reserved) if index != self._om.gear_index]
        for array, (pointer, size) in zip(arrays, fed, strict=True):
            self._upload(pointer, size, array)
        self._set_gear(source, gear)
        self._acl.call("mdl.execute", self._model, source, target)
        query = "mdl.get_output_dims" if self._om.kind is Kind.STATIC else "mdl.get_cur_output_dims"
        found = []
        for index, (port, (pointer, size)) in enumerate(zip(self._om.outputs, results, strict=True)):
            shape = sizes_of(self._acl.call(query, self._desc, index))
            found.append(self._download(pointer, size, shape, port.dtype))
        return found

    def _set_gear(self, source: int, gear: Gear) -> None:
        match self._om.kind:
            case Kind.BATCH:
                name, values = "mdl.set_dynamic_batch_size", gear.setting
            case Kind.IMAGE:
                name, values = "mdl.set_dynamic_hw_size", gear.setting
            case Kind.DIMS:
                dims = {"name": "", "dimCount": len(gear.setting), "dims": list(gear.setting)}
                self._acl.call("mdl.set_input_dynamic_dims", self._model, source, self._om.gear_index, dims)
                return
            case _:
                return
        self._acl.call(name, self._model, source, self._om.gear_index, *values)

    def _run_any_shape(self, stack: ExitStack, arrays: Sequence[Array]) -> list[Array]:
        memory = []
        for array in arrays:
            memory.append((self._acl.malloc(stack, array.nbytes), array.nbytes))
            self._upload(*memory[-1], np.asarray(array, order="C"))
        source, _ = self._dataset(stack, memory)
        # Buffers of no size: the runtime allocates what the outputs turn out to need, and we free it.
        target, buffers = self._dataset(stack, [(0, 0)] * len(self._om.outputs))
        for index, (array, port) in enumerate(zip(arrays, self._om.inputs, strict=True)):
            desc = self._acl.get("create_tensor_desc", DTYPE_CODES[port.dtype], list(array.shape), _ND)
            stack.callback(self._acl.plain, "destroy_tensor_desc", desc)
            self._acl.call("mdl.set_dataset_tensor_desc", source, desc, index)
        addresses: dict[int, int] = {}
        stack.callback(self._free_allocated, buffers, addresses)
        self._acl.call("mdl.execute", self._model, source, target)
        for buffer in buffers:
            addresses[buffer] = self._acl.get("get_data_buffer_addr", buffer)
        return [self._fetch(target, index, addresses[buffer]) for index, buffer in enumerate(buffers)]

    def _fetch(self, dataset: int, index: int, address: int) -> Array:
        desc = self._acl.get("mdl.get_dataset_tensor_desc", dataset, index)
        rank = int(self._acl.plain("get_tensor_desc_num_dims", desc))
        shape = tuple(int(self._acl.call("get_tensor_desc_dim_v2", desc, axis)) for axis in range(rank))
        size = int(self._acl.get("get_tensor_desc_size", desc))
        dtype = self._om.outputs[index].dtype
        if prod(shape) * np.dtype(dtype).itemsize != size:
            raise BackendError(f"acl says that an output has the shape {shape} of {dtype}, and {size} bytes")
        return self._download(address, size, shape, dtype)

    def _free_allocated(self, buffers: Sequence[int], addresses: Mapping[int, int]) -> None:
        """Free what the runtime allocated for these buffers, if it did."""
        with ExitStack() as stack:
            for buffer in buffers:
                if address := addresses.get(buffer) or self._acl.plain("get_data_buffer_addr", buffer):
                    stack.callback(self._acl.call, "rt.free", address)
                    stack.callback(self._acl.call, "update_data_buffer", buffer, 0, 0)

    def _dataset(self, stack: ExitStack, memory: Sequence[tuple[int, int]]) -> tuple[int, list[int]]:
        """A new dataset over this memory, and its data buffers."""
        dataset = int(self._acl.get("mdl.create_dataset"))
        stack.callback(self._acl.call, "mdl.destroy_dataset", dataset)
        buffers = []
        for pointer, size in memory:
            buffers.append(int(self._acl.get("create_data_buffer", pointer, size)))
            stack.callback(self._acl.call, "destroy_data_buffer", buffers[-1])
            self._acl.call("mdl.add_dataset_buffer", dataset, buffers[-1])
        return dataset, buffers

    def _upload(self, pointer: int, size: int, array: Array) -> None:
        self._acl.call("rt.memcpy", pointer, size, array.ctypes.data, array.nbytes, _HOST_TO_DEVICE)

    def _download(self, pointer: int, size: int, shape: Shape, dtype: str) -> Array:
        if min(shape, default=1) < 0 or (needed := prod(shape) * np.dtype(dtype).itemsize) > size:
            raise BackendError(f"acl says that an output has the shape {shape} of {dtype}, in a buffer of {size} bytes")
        array: Array = np.empty(shape, dtype)
        self._acl.call("rt.memcpy", array.ctypes.data, needed, pointer, needed, _DEVICE_TO_HOST)
        return array

    def signature(self) -> dict[str, Any]:
        """See `inferry.core.protocols.Session.signature`."""
        return {
            "backend": "ascend",
            "version": self._version,
            "device": self._device,
            "precision": self._precision,
            "om": self._name,
            "shapes": self._om.kind.value,
            "threads": 1,
        }

    def close(self) -> None:
        """See `inferry.core.protocols.Session.close`.

        Raises:
            BackendError: acl refused to free something; the rest is freed all the same.
        """
        with self._lock:
            if self._resources is not None:
                resources, self._resources = self._resources, None
                detach(self._acl, self)
                resources.close()


def _precision(model: Path, compiled: str | None, asked: str) -> str:
    """What the om runs in, as the file beside it says."""
    if compiled is None:
        return "not stated by the om"
    if compiled != asked:
        raise BackendError(f"{model} was compiled for {compiled}, not {asked}: ask for {compiled}, or compile it again")
    return compiled
