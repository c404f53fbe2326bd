"""Ascend NPUs: the bundle's compiled om files through CANN's pyACL."""

from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from inferry.backends.ascend_artifact import ArtifactSession, choose_artifact
from inferry.backends.ascend_runtime import Acl, start
from inferry.backends.ascend_session import AscendSession
from inferry.core.errors import BackendError
from inferry.core.protocols import Session, SessionOptions

PRECISIONS: Final = ("fp32", "fp16", "mixed")
"""What an om may be compiled for."""

_OM: Final = ".om"


class AscendBackend:
    """Ascend NPUs. An ONNX file stands for what ``inferry compile`` made of it, which lies beside it in ``compiled/``.

    A file with the suffix ``om`` is opened as it is. Beside ``<stem>.om``, a file ``<stem>.json`` may describe the
    graph it was compiled from (see `read_origin`). With it, batches are padded along every axis that is symbolic there;
    without it, only along the batch of an om with dynamic batch.

    The network runs on the NPU: `SessionOptions.threads` is for what runs on the processor beside it.

    Args:
        device: Number of the NPU.
        module: Stands in for CANN's ``acl``; for tests.
    """

    name = "ascend"
    runs = "npu, fp32, fp16 or mixed, as compiled"
    parts_on = "onnxruntime"
    threaded = False

    def __init__(self, device: int = 0, module: Any = None) -> None:  # noqa: ANN401 - a vendor module without types
        self._device = device
        self._module = module

    def missing(self) -> str | None:
        """See `inferry.core.protocols.Backend.missing`."""
        if self._module is not None or find_spec("acl") is not None:
            return None
        return (
            "the Python module acl is not installed; it is part of CANN (from hiascend.com, not from PyPI): install "
            "CANN, then run its set_env.sh in this shell"
        )

    def open(self, model: Path, options: SessionOptions) -> Session:
        """See `inferry.core.protocols.Backend.open`.

        Raises:
            BackendError: The file cannot be opened, an option cannot be honoured, or nothing fitting is compiled.
        """
        if options.threads is not None and options.threads < 1:
            raise BackendError(f"threads must be at least 1, not {options.threads}")
        if options.precision not in PRECISIONS:
            raise BackendError(f"ascend runs {', '.join(PRECISIONS)}, not {options.precision}")
        if not options.optimise:
            raise BackendError(
                "ascend runs what atc has compiled, not the graph as it stands: use onnxruntime for that"
            )
        if not model.is_file():
            raise BackendError(f"there is no {'om' if model.suffix == _OM else 'ONNX'} file {model}")
        acl = Acl(self._import())
        if model.suffix == _OM:
            return AscendSession(acl, model, options.precision, self._device)
        start(acl, self._device)
        artifact = choose_artifact(model, options.precision, str(acl.get("get_soc_name")))
        return ArtifactSession(acl, artifact, self._device)

    def _import(self) -> Any:  # noqa: ANN401 - a vendor module without types
        if self._module is not None:
            return self._module
        try:
            module = import_module("acl")
        except ImportError as error:  # Also where CANN's libraries are not on the loader's path.
            raise BackendError(
                f"acl cannot be imported: {error}. {self.missing() or 'Run set_env.sh of CANN'}"
            ) from error
        if not hasattr(module, "mdl"):
            raise BackendError(f"the module acl at {module.__file__} is not CANN's: another package has its name")
        return module
