"""ONNX Runtime on the CPU."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inferry.core.errors import BackendError
from inferry.core.machine import available_threads, package_version
from inferry.core.protocols import Session, SessionOptions
from inferry.core.specs import Array

_PROVIDER = "CPUExecutionProvider"


class OnnxRuntimeSession:
    """An ONNX file opened in ONNX Runtime."""

    def __init__(self, model: Path, options: SessionOptions) -> None:
        import onnxruntime as ort

        settings = ort.SessionOptions()
        # What fails is raised, with its reason: the runtime's own line beside it would stand on the screen twice.
        settings.log_severity_level = 4
        self._threads = options.threads or available_threads()
        settings.intra_op_num_threads = self._threads
        settings.inter_op_num_threads = 1
        # Every length is a shape of its own: remembering an allocation pattern for each would grow without end.
        settings.enable_mem_pattern = False
        if not options.optimise:
            settings.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
        try:
            self._session = ort.InferenceSession(str(model), settings, providers=[_PROVIDER])
        except Exception as error:  # ONNX Runtime's own exceptions share no base but Exception.
            raise BackendError(f"ONNX Runtime cannot open {model}: {error}") from error
        used = self._session.get_providers()
        if used[0] != _PROVIDER:
            raise BackendError(f"asked ONNX Runtime for {_PROVIDER}, it uses {used[0]}")
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._closed = False

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See `inferry.core.protocols.Session.run`."""
        if self._closed:
            raise BackendError("this session is closed")
        try:
            values = self._session.run(self._outputs, dict(inputs))
        except Exception as error:  # As above.
            shapes = {name: f"{array.dtype} {array.shape}" for name, array in inputs.items()}
            raise BackendError(f"ONNX Runtime failed on {shapes}: {error}") from error
        return dict(zip(self._outputs, values, strict=True))

    def signature(self) -> dict[str, Any]:
        """See `inferry.core.protocols.Session.signature`."""
        return {
            "backend": "onnxruntime",
            "version": package_version("onnxruntime"),
            "device": "cpu",
            "precision": "fp32",
            "threads": self._threads,
        }

    def close(self) -> None:
        """See `inferry.core.protocols.Session.close`."""
        self._closed = True
        self._session = None


class OnnxRuntime:
    """The default backend: fp32 on the CPU, every shape without compiling."""

    name = "onnxruntime"
    runs = "cpu, fp32"

    def missing(self) -> str | None:
        """See `inferry.core.protocols.Backend.missing`."""
        return None if package_version("onnxruntime") else "not installed; pip install onnxruntime"

    def open(self, model: Path, options: SessionOptions) -> Session:
        """See `inferry.core.protocols.Backend.open`."""
        if options.precision != "fp32":
            raise BackendError(f"onnxruntime runs fp32, not {options.precision}: leave --precision out")
        if options.threads is not None and options.threads < 1:
            raise BackendError(f"threads must be at least 1, not {options.threads}")
        if not model.is_file():
            raise BackendError(f"there is no ONNX file {model}")
        return OnnxRuntimeSession(model, options)
