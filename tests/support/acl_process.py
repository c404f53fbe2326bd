"""The part of the simulator of `acl` that knows no models: process, devices, contexts, memory, buffers, datasets."""

import ctypes
import itertools
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from importlib.machinery import ModuleSpec
from math import prod
from types import SimpleNamespace
from typing import Any

import numpy as np

CODES = {"float32": 0, "float16": 1, "int8": 2, "int32": 3, "uint8": 4, "int64": 9, "float64": 11, "bool": 12}
INVALID_PARAM, UNINITIALIZE, REPEAT_INITIALIZE = 100000, 100001, 100002
RT_CONTEXT_NULL = 107002
INJECTED = 507899
RELEASING = {"finalize", "rt.free", "rt.destroy_context", "rt.reset_device", "mdl.unload", "mdl.destroy_desc"}
RELEASING |= {"mdl.destroy_dataset", "destroy_data_buffer", "update_data_buffer", "destroy_tensor_desc"}
NEEDS_CONTEXT = ("rt.malloc", "rt.memcpy", "rt.free", "mdl.load_from_file", "mdl.unload", "mdl.execute", "mdl.set_")


class RefusedError(Exception):
    """The real module would return this code; `misuse` if no correct program gets it."""

    def __init__(self, code: int, sentence: str, *, misuse: bool = True) -> None:
        super().__init__(sentence)
        self.code, self.misuse = code, misuse


@dataclass
class Memory:
    array: Any
    written: int = 0


@dataclass
class Buffer:
    pointer: int
    size: int


@dataclass
class Dataset:
    buffers: list[int] = field(default_factory=list)
    descs: dict[int, int] = field(default_factory=dict)
    setting: tuple[int, ...] | None = None


@dataclass
class TensorDesc:
    dims: list[int]
    dtype: str = "float32"
    owned: bool = True  # by the program, and not by a dataset


@dataclass
class Context:
    device: int


_APIS: dict[str, str] = {}


def require_plain(name: str, arguments: object) -> None:
    """The wrapper's parser takes Python's own numbers, texts, lists and dicts; a numpy integer is a TypeError."""
    if isinstance(arguments, (tuple, list, dict)):
        for one in arguments.values() if isinstance(arguments, dict) else arguments:
            require_plain(name, one)
    elif type(arguments) not in {int, str}:
        raise TypeError(f"acl.{name} args parse failed: {arguments!r} is a {type(arguments).__name__}")


def api(name: str, failure: Callable[[int], object]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A function of the module: counted, failing on demand, its misuse written down."""

    def decorate(method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def called(self: "AclProcess", *arguments: object) -> object:
            self.calls.append(name)
            require_plain(name, arguments)
            injected = len(self.calls) == self.fail_at
            if injected and name not in RELEASING:
                return failure(INJECTED)
            try:
                self.require_started(name)
                result = method(self, *arguments)
            except RefusedError as refused:
                if refused.misuse:
                    self.errors.append(f"{name}: {refused}")
                return failure(refused.code)
            return failure(INJECTED) if injected else result

        _APIS[name] = method.__name__
        return called

    return decorate


def returns_code(code: int) -> int:
    return code


def returns_value(code: int) -> tuple[None, int]:
    return None, code


def returns_bare(_: int) -> int:
    return 0


class AclProcess:
    """What is not of models. `fail_at` is the number of the call (from 1) that fails with `INJECTED`."""

    def __init__(self) -> None:
        self.__spec__ = ModuleSpec("acl", None)  # as a module has: it is looked for
        self.errors: list[str] = []
        self.calls: list[str] = []
        self.fail_at: int | None = None
        self.rt, self.mdl = SimpleNamespace(), SimpleNamespace()
        for name, method in _APIS.items():
            folder, _, function = name.rpartition(".")
            setattr(getattr(self, folder) if folder else self, function, getattr(self, method))
        self._handles = itertools.count(1001)
        self._live: dict[int, Any] = {}
        self._memory: dict[int, Memory] = {}
        # Freed memory stays allocated, so that its address never comes back as another block's.
        self._freed: list[Memory] = []
        self._devices: set[int] = set()
        self._state = "new"
        self.thread = threading.local()

    def require_started(self, name: str) -> None:
        if name != "init" and self._state != "started":
            raise RefusedError(UNINITIALIZE, f"acl is {self._state}")
        if name.startswith(NEEDS_CONTEXT) and name != "mdl.set_dataset_tensor_desc":
            context = getattr(self.thread, "context", None)
            if context not in self._live and not (context == "default" and self._devices):
                raise RefusedError(RT_CONTEXT_NULL, "this thread has no context")

    @property
    def running(self) -> bool:
        """Whether it was started and not ended."""
        return self._state == "started"

    @property
    def left(self) -> list[str]:
        """What is not freed yet."""
        return [type(one).__name__ for one in self._live.values()] + ["device memory"] * len(self._memory)

    def add(self, thing: object) -> int:
        handle = next(self._handles)
        self._live[handle] = thing
        return handle

    def get(self, handle: int, kind: type[Any]) -> Any:
        if not isinstance(found := self._live.get(handle), kind):
            raise RefusedError(INVALID_PARAM, f"{handle} is no live {kind.__name__}")
        return found

    def drop(self, handle: int, kind: type[Any]) -> Any:
        found = self.get(handle, kind)
        del self._live[handle]
        return found

    def block(self, pointer: int, size: int) -> Memory:
        memory = self._memory.get(pointer)
        if memory is None or size > memory.array.nbytes:
            raise RefusedError(INVALID_PARAM, f"{size} bytes at {pointer} are no live device memory")
        return memory

    # -- process, device, context, memory

    @api("init", returns_code)
    def _init(self) -> int:
        if self._state != "new":
            raise RefusedError(REPEAT_INITIALIZE, f"acl is {self._state}")
        self._state = "started"
        return 0

    @api("finalize", returns_code)
    def _finalize(self) -> int:
        self._state = "finalised"
        left = [*self.left, *(f"device {device}" for device in self._devices)]
        if left:
            raise RefusedError(0, f"never freed: {', '.join(left)}")
        return 0

    @api("get_soc_name", returns_bare)
    def _soc(self) -> str:
        return "Ascend310P3"

    @api("get_version", lambda code: (0, 0, 0, code))
    def _version(self) -> tuple[int, int, int, int]:
        return 1, 12, 0, 0

    @api("rt.set_device", returns_code)
    def _set_device(self, device: int) -> int:
        self._devices.add(device)
        self.thread.context = "default"
        return 0

    @api("rt.reset_device", returns_code)
    def _reset_device(self, device: int) -> int:
        if device not in self._devices:
            raise RefusedError(INVALID_PARAM, f"device {device} is not set")
        self._devices.remove(device)
        if any(isinstance(one, Context) and one.device == device for one in self._live.values()):
            raise RefusedError(INVALID_PARAM, f"device {device} has contexts")
        return 0

    @api("rt.create_context", returns_value)
    def _create_context(self, device: int) -> tuple[int, int]:
        if device not in self._devices:
            raise RefusedError(INVALID_PARAM, f"device {device} is not set")
        self.thread.context = self.add(Context(device))
        return self.thread.context, 0

    @api("rt.set_context", returns_code)
    def _set_context(self, context: int) -> int:
        self.get(context, Context)
        self.thread.context = context
        return 0

    @api("rt.destroy_context", returns_code)
    def _destroy_context(self, context: int) -> int:
        self.drop(context, Context)
        if any(getattr(one, "context", None) == context for one in self._live.values()):
            raise RefusedError(INVALID_PARAM, "a model is still loaded in this context")
        return 0

    @api("rt.malloc", returns_value)
    def _malloc(self, size: int, policy: int) -> tuple[int, int]:
        if size <= 0 or policy not in range(6):
            raise RefusedError(INVALID_PARAM, f"{size} bytes, policy {policy}")
        return self.allocate(size), 0

    def allocate(self, size: int) -> int:
        array = np.full(size, 0xA5, np.uint8)  # What nobody wrote is garbage.
        self._memory[array.ctypes.data] = Memory(array)
        return int(array.ctypes.data)

    @api("rt.free", returns_code)
    def _free(self, pointer: int) -> int:
        self.block(pointer, 0)
        self._freed.append(self._memory.pop(pointer))
        return 0

    @api("rt.memcpy", returns_code)
    def _memcpy(self, target: int, room: int, source: int, size: int, kind: int) -> int:
        if kind not in {1, 2} or not 0 < size <= room:
            raise RefusedError(INVALID_PARAM, f"{size} bytes into {room}, kind {kind}")
        device, host = (target, source) if kind == 1 else (source, target)
        block = self.block(device, room if kind == 1 else size)
        if host in self._memory:
            raise RefusedError(INVALID_PARAM, "the host pointer is one of the device")
        ctypes.memmove(target, source, size)
        if kind == 1:
            block.written = size
        return 0

    # -- buffers, datasets, tensor descriptions

    @api("create_data_buffer", returns_bare)
    def _create_data_buffer(self, pointer: int, size: int) -> int:
        if (pointer, size) != (0, 0):
            self.block(pointer, size)
        return self.add(Buffer(pointer, size))

    @api("update_data_buffer", returns_code)
    def _update_data_buffer(self, buffer: int, pointer: int, size: int) -> int:
        found = self.get(buffer, Buffer)
        found.pointer, found.size = pointer, size
        return 0

    @api("get_data_buffer_addr", returns_bare)
    def _get_data_buffer_addr(self, buffer: int) -> int:
        return int(self.get(buffer, Buffer).pointer)

    @api("destroy_data_buffer", returns_code)
    def _destroy_data_buffer(self, buffer: int) -> int:
        self.drop(buffer, Buffer)
        return 0

    @api("mdl.create_dataset", returns_bare)
    def _create_dataset(self) -> int:
        return self.add(Dataset())

    @api("mdl.add_dataset_buffer", returns_value)
    def _add_dataset_buffer(self, dataset: int, buffer: int) -> tuple[int, int]:
        self.get(buffer, Buffer)
        self.get(dataset, Dataset).buffers.append(buffer)
        return dataset, 0

    @api("mdl.destroy_dataset", returns_code)
    def _destroy_dataset(self, dataset: int) -> int:
        for desc in self.drop(dataset, Dataset).descs.values():
            del self._live[desc]
        return 0

    @api("create_tensor_desc", returns_bare)
    def _create_tensor_desc(self, code: int, dims: list[int], form: int) -> int:
        if code not in CODES.values() or form not in {0, 1, 2}:
            raise RefusedError(INVALID_PARAM, f"dtype {code}, format {form}")
        return self.add(TensorDesc(list(dims), next(name for name, one in CODES.items() if one == code)))

    @api("destroy_tensor_desc", returns_bare)
    def _destroy_tensor_desc(self, desc: int) -> None:
        if not self.get(desc, TensorDesc).owned:
            raise RefusedError(INVALID_PARAM, "a dataset owns this description")
        del self._live[desc]

    @api("get_tensor_desc_num_dims", returns_bare)
    def _num_dims(self, desc: int) -> int:
        return len(self.get(desc, TensorDesc).dims)

    @api("get_tensor_desc_dim_v2", returns_value)
    def _dim(self, desc: int, axis: int) -> tuple[int, int]:
        return self.get(desc, TensorDesc).dims[axis], 0

    @api("get_tensor_desc_size", returns_bare)
    def _desc_size(self, desc: int) -> int:
        found = self.get(desc, TensorDesc)
        return prod(found.dims) * np.dtype(found.dtype).itemsize

    @api("mdl.set_dataset_tensor_desc", returns_value)
    def _set_tensor_desc(self, dataset: int, desc: int, index: int) -> tuple[int, int]:
        found = self.get(dataset, Dataset)
        given = self.get(desc, TensorDesc)
        if index in found.descs or index >= len(found.buffers):
            raise RefusedError(INVALID_PARAM, f"input {index} is described twice, or does not exist")
        # The dataset keeps a copy: whoever made the description destroys it.
        found.descs[index] = self.add(TensorDesc(list(given.dims), given.dtype, owned=False))
        return dataset, 0

    @api("mdl.get_dataset_tensor_desc", returns_bare)
    def _get_tensor_desc(self, dataset: int, index: int) -> int:
        return int(self.get(dataset, Dataset).descs.get(index, 0))
