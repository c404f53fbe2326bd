"""A bundle's compiled artifact: which one runs, and all of its om files as one session."""

import shlex
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from inferry.backends.ascend_gears import Gear, Shape
from inferry.backends.ascend_model import Origin
from inferry.backends.ascend_runtime import Acl
from inferry.backends.ascend_session import AscendSession
from inferry.core.compiled import Compiled, find_compiled
from inferry.core.errors import BackendError
from inferry.core.files import sha256_of
from inferry.core.specs import Array

_BACKEND: Final = "ascend"


class ArtifactSession:
    """An artifact on a device: one om with all shapes, or one om a shape.

    Args:
        acl: The module.
        compiled: A whole artifact.
        device: Number of the NPU.

    Raises:
        BackendError: An om cannot be loaded.
    """

    def __init__(self, acl: Acl, compiled: Compiled, device: int) -> None:
        self.compiled = compiled
        origin = Origin(compiled.inputs, compiled.outputs, compiled.precision)
        with ExitStack() as stack:
            self._sessions: list[AscendSession] = []
            for unit in compiled.units:
                session = AscendSession(acl, compiled.folder / str(unit.om), compiled.precision, device, origin)
                stack.callback(session.close)
                self._sessions.append(session)
            self._opened = stack.pop_all()
        self._owners: dict[Gear, AscendSession] = {gear: one for one in self._sessions for gear in one.gears}

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """See `inferry.core.protocols.Session.run`."""
        session = self._sessions[0]
        if len(self._sessions) > 1:
            shapes = {name: array.shape for name, array in inputs.items()}
            session = self._owners[session.choose(shapes, list(self._owners))]
        return session.run(inputs)

    def padded(self, shapes: Mapping[str, Shape]) -> dict[str, Shape]:
        """See `inferry.core.protocols.Session`."""
        return self._sessions[0].chosen_shapes(shapes, list(self._owners))

    def signature(self) -> dict[str, Any]:
        """See `inferry.core.protocols.Session.signature`."""
        return self._sessions[0].signature() | {"om": self.compiled.key}

    def close(self) -> None:
        """See `inferry.core.protocols.Session.close`."""
        self._opened.close()


def choose_artifact(model: Path, precision: str, soc: str) -> Compiled:
    """The newest artifact of a graph that fits; a damaged one is not passed over, for it was the last to be compiled.

    Args:
        model: The bundle's ONNX file.
        precision: It must be compiled for.
        soc: The chip that it must be compiled for, as acl names it.

    Raises:
        BackendError: There is none, or its files are damaged; what there is, and the command that makes one.
        BundleError: An artifact is broken.
    """
    made = find_compiled(model, _BACKEND)
    digest = sha256_of(model)
    own = [one for one in made if one.model_sha256 == digest]
    compiled = [one for one in own if one.is_made]
    on_chip = [one for one in compiled if one.device == soc]
    as_graph = [one for one in on_chip if not one.aipp]
    fitting = [one for one in as_graph if one.precision == precision]
    if fitting:
        return _undamaged(fitting[-1], _command(model, precision, soc))
    steps = (
        (made, "nothing is compiled"),
        (own, f"what is compiled ({_names(made)}) was made from another graph"),
        (compiled, f"what is there ({_names(own)}) was only written: atc did not run, or failed"),
        (on_chip, f"it is compiled for {_devices(compiled)}, and this chip is {soc}"),
        (as_graph, f"what is compiled ({_names(on_chip)}) takes raw pixels (--aipp), not what the graph takes"),
    )
    for left, reason in steps:
        if not left:
            raise BackendError(f"{model} cannot run on the NPU: {reason}. {_command(model, precision, soc)}")
    known = sorted({one.precision for one in as_graph})
    raise BackendError(
        f"{model} is compiled for {' and '.join(known)}, not {precision}: ask for --precision {known[0]}. "
        f"{_command(model, precision, soc, word='Or compile')}"
    )


def _undamaged(artifact: Compiled, command: str) -> Compiled:
    """Read in full before it goes to a device, which would say less of what is wrong with it."""
    if damage := artifact.damage():
        raise BackendError(f"{artifact.folder} is damaged: {damage}. {command}")
    return artifact


def _command(model: Path, precision: str, soc: str, word: str = "Compile") -> str:
    return (
        f"{word} it: inferry compile {shlex.quote(str(model.parent))} --backend {_BACKEND} --soc {soc} --precision "
        f"{precision} (with --plan PLAN or --sizes where its inputs differ in length)"
    )


def _names(made: Sequence[Compiled]) -> str:
    return ", ".join(one.key for one in made)


def _devices(made: Sequence[Compiled]) -> str:
    return " and ".join(sorted({one.device for one in made}))
