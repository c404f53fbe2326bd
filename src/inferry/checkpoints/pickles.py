"""Pickles read without running any of their code.

A pickle is a program: it names callables and calls them. Here every name is either on a list, and then stands for an
inert implementation of our own, or the file is refused before its first opcode runs. Nothing is ever imported.
"""

import io
import pickle  # only its Unpickler, with every name resolved below
import pickletools
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import IO, Any, Final, NamedTuple, Self

STORAGE_DTYPES: Final[dict[str, str]] = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
}
"""torch's typed storages and what they hold."""

_TORCH_DTYPES: Final = frozenset({*STORAGE_DTYPES.values(), "uint16", "uint32", "uint64"})
_INERT_MODULES: Final = ("omegaconf", "deepspeech_pytorch", "hydra_configs", "pytorch_lightning")
_PLAIN_NAMES: Final = ("dict", "list", "tuple", "set", "bool", "float", "int", "long", "str", "unicode")
_INERT_NAMES: Final = frozenset(
    {
        *((f"torch.nn.modules.rnn.{name}") for name in ("LSTM", "GRU", "RNN")),
        *(f"{module}.{name}" for module in ("__builtin__", "builtins") for name in _PLAIN_NAMES),
        *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
        "numpy.dtype",
        "numpy.ndarray",
        "_codecs.encode",
        "typing.Any",
        "torch.device",
        "argparse.Namespace",
    }
)
_STRINGS: Final = frozenset({"SHORT_BINUNICODE", "BINUNICODE", "BINUNICODE8", "UNICODE"})


class UnsafePickleError(Exception):
    """A pickle that would need code, or is no pickle; `problems` holds all reasons, each a sentence."""

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("; ".join(self.problems))


class Stub:
    """An instance of a class that is not there: a record of what the file would have built.

    Attributes:
        args: What the constructor would have got.
        state: What ``__setstate__`` would have got, None if nothing.
        elements: What would have been appended.
        entries: What would have been stored under keys.
    """

    name = ""
    args: tuple[Any, ...]
    state: Any
    elements: list[Any]
    entries: list[tuple[Any, Any]]

    def __new__(cls, *args: object, **_: object) -> Self:
        """Record the arguments; no constructor of the file's class exists here."""
        stub = object.__new__(cls)
        stub.args = args
        stub.state = None
        stub.elements = []
        stub.entries = []
        return stub

    def __setstate__(self, state: object) -> None:
        self.state = state

    def append(self, element: object) -> None:
        """Record an element."""
        self.elements.append(element)

    def __setitem__(self, key: object, value: object) -> None:
        self.entries.append((key, value))


# The records below are named tuples because those alone are truly frozen: a pickle's BUILD can write into the
# instances of any class that has a __dict__, assignable slots or a dataclass's __setstate__.


class StorageType(NamedTuple):
    """A storage class or a dtype, as a name.

    Attributes:
        dtype: A numpy dtype name or ``bfloat16``.
    """

    dtype: str


class Storage(NamedTuple):
    """A block of numbers that lies elsewhere in the file.

    Attributes:
        key: Its name there.
        dtype: A numpy dtype name or ``bfloat16``.
        numel: Elements in the whole block.
        start: First element of the part that is meant (legacy files know views of storages).
        size: Elements in that part.
    """

    key: str
    dtype: str
    numel: int
    start: int
    size: int


class TensorRecord(NamedTuple):
    """A tensor that was not read yet.

    Attributes:
        storage: Where its numbers are.
        dtype: A numpy dtype name or ``bfloat16``; the storage's own, except for untyped storages.
        offset: First element.
        shape: Sizes.
        strides: Elements from one index to the next, per dimension.
    """

    storage: Storage
    dtype: str
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


class _Inert(NamedTuple):
    """One of our own functions under a name that a pickle may call."""

    function: Callable[..., object]

    def __call__(self, *args: object) -> object:
        return self.function(*args)


def _integers(values: object) -> tuple[int, ...]:
    if not isinstance(values, tuple) or not all(type(value) is int for value in values):
        raise pickle.UnpicklingError("a tensor's sizes and strides are not integers")
    return values


def _tensor(storage: object, offset: object, shape: object, strides: object, *rest: object) -> TensorRecord:
    """``torch._utils._rebuild_tensor_v2``; the rest is requires_grad, hooks and metadata (conjugate, negative)."""
    if not isinstance(storage, Storage) or type(offset) is not int:
        raise pickle.UnpicklingError("a tensor without a storage or an offset")
    if len(rest) > 2 and rest[2]:
        raise pickle.UnpicklingError("a tensor with a conjugate or negative bit")
    return TensorRecord(storage, storage.dtype, offset, _integers(shape), _integers(strides))


def _tensor_v3(*args: object) -> TensorRecord:
    """``torch._utils._rebuild_tensor_v3``: its storage is untyped, the dtype comes seventh."""
    if len(args) < 7 or not isinstance(args[6], StorageType):
        raise pickle.UnpicklingError("a tensor without a dtype")
    record = _tensor(*args[:6], *args[7:8])
    if record.storage.dtype not in {"uint8", args[6].dtype}:
        raise pickle.UnpicklingError("a tensor whose dtype is not that of its storage")
    return TensorRecord(record.storage, args[6].dtype, record.offset, record.shape, record.strides)


def _parameter(data: object, *_: object) -> object:
    """``torch._utils._rebuild_parameter``: a parameter is its tensor."""
    return data


def _dictionary(*_: object) -> dict[Any, Any]:
    """``collections.defaultdict`` without its factory."""
    return {}


def _size(values: object = ()) -> tuple[int, ...]:
    return _integers(tuple(values) if isinstance(values, list) else values)


_FUNCTIONS: Final[dict[str, object]] = {
    "torch._utils._rebuild_tensor_v2": _Inert(_tensor),
    "torch._utils._rebuild_tensor_v3": _Inert(_tensor_v3),
    "torch._utils._rebuild_parameter": _Inert(_parameter),
    "torch.Size": _Inert(_size),
    "torch.storage.UntypedStorage": StorageType("uint8"),
    "torch.UntypedStorage": StorageType("uint8"),
    "collections.OrderedDict": OrderedDict,
    "collections.defaultdict": _Inert(_dictionary),
    # Types of the language that other classes are built from; their methods cannot be replaced.
    "__builtin__.set": set,
    "builtins.set": set,
    **{f"torch.{name}": StorageType(dtype) for name, dtype in STORAGE_DTYPES.items()},
    **{f"torch.storage.{name}": StorageType(dtype) for name, dtype in STORAGE_DTYPES.items()},
    **{f"torch.{dtype}": StorageType(dtype) for dtype in _TORCH_DTYPES},
}


def allowed(module: str, name: str) -> bool:
    """Whether a pickle may name this; what it then gets is inert."""
    full = f"{module}.{name}"
    return full in _FUNCTIONS or full in _INERT_NAMES or module.split(".", maxsplit=1)[0] in _INERT_MODULES


class _Unpickler(pickle.Unpickler):
    """Resolves every name to something inert."""

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="utf-8")
        self._stubs: dict[str, type[Stub]] = {}

    def find_class(self, module: str, name: str) -> object:
        """Our implementation of a listed name, or a stub class made for this load alone.

        Raises:
            UnsafePickleError: The name is not listed.
        """
        if not allowed(module, name):
            raise UnsafePickleError([_forbidden(f"{module}.{name}")])
        full = f"{module}.{name}"
        if full in _FUNCTIONS:
            return _FUNCTIONS[full]
        if full not in self._stubs:
            self._stubs[full] = type("Stub", (Stub,), {"name": full})
        return self._stubs[full]

    def persistent_load(self, pid: object) -> Storage:
        """The storage that a persistent id means: ``("storage", type, key, location, numel[, view])``."""
        if not isinstance(pid, tuple) or len(pid) not in {5, 6} or pid[0] != "storage":
            raise pickle.UnpicklingError("a persistent object that is no storage")
        kind, key, _, numel = pid[1:5]
        if not isinstance(kind, StorageType) or type(numel) is not int or numel < 0:
            raise pickle.UnpicklingError("a storage without a type or size")
        start, size = 0, numel
        if len(pid) == 6 and pid[5] is not None:
            _, start, size = pid[5]
        return Storage(str(key), kind.dtype, numel, *_integers((start, size)))


def _forbidden(name: str) -> str:
    return f"it names {name}, which is not on the list of names that a checkpoint may use; nothing of it was run"


def scan(stream: IO[bytes]) -> None:
    """Read one pickle up to its end without running it, and leave the stream behind it.

    Args:
        stream: Positioned at the beginning of a pickle.

    Raises:
        UnsafePickleError: It names something that is not allowed (all such names are listed), or it is damaged.
    """
    start = stream.tell()
    names: list[str] = []
    problems: list[str] = []
    greatest = -1
    try:
        for name, number in _events(stream):
            greatest = max(greatest, number)
            if name:
                names.append(name)
    except Exception as error:  # noqa: BLE001 -- pickletools raises whatever a damaged opcode leads to
        problems.append(f"its pickle is damaged or cut off ({error})")
    problems[:0] = [
        _forbidden(name.replace(" ", ".", 1)) for name in dict.fromkeys(names) if not allowed(*_split(name))
    ]
    # Every memorised object takes a byte at least; a greater number would only make the unpickler's table huge.
    if greatest > stream.tell() - start:
        problems.append(f"its pickle memorises an object under the absurd number {greatest}")
    if problems:
        raise UnsafePickleError(problems)


def _split(name: str) -> tuple[str, str]:
    module, _, attribute = name.partition(" ")
    return module, attribute


def _events(stream: IO[bytes]) -> Iterable[tuple[str, int]]:
    """``module name`` of every global, and the number of every memo entry (-1 for none)."""
    strings: list[str] = []
    memo: dict[int, str] = {}
    memoised = 0
    for opcode, argument, _ in pickletools.genops(stream):
        kind = opcode.name
        if kind in _STRINGS:
            strings.append(str(argument))
        elif kind == "MEMOIZE" or kind.endswith("PUT"):
            number = memoised if argument is None else int(argument)
            memoised += 1
            memo[number] = strings[-1] if strings else ""
            yield "", number
        elif kind.endswith("GET") and argument in memo:
            strings.append(memo[argument])
        elif kind in {"GLOBAL", "INST"}:
            yield str(argument), -1
        elif kind == "STACK_GLOBAL":
            yield " ".join(strings[-2:]), -1
        elif kind.startswith("EXT"):
            yield "copyreg extension", -1


def load(data: bytes) -> object:
    """The content of one pickle, with tensors as records and unknown classes as stubs.

    Args:
        data: From the first to the last byte of the pickle.

    Raises:
        UnsafePickleError: As in `scan`, or the content contradicts itself.
    """
    scan(io.BytesIO(data))
    try:
        return _Unpickler(data).load()
    except UnsafePickleError:
        raise
    except Exception as error:  # a damaged pickle leads to errors of any kind
        raise UnsafePickleError([f"its pickle cannot be read ({error})"]) from error
