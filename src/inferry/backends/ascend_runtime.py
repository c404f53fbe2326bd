"""Calls of CANN's Python module ``acl`` with their codes checked, and its start and end in this process."""

import atexit
import os
from collections.abc import Callable
from contextlib import ExitStack
from operator import attrgetter
from threading import Lock
from typing import Any, Final, Protocol

from inferry.core.errors import BackendError

REPEAT_INITIALIZE: Final = 100002
"""``ACL_ERROR_REPEAT_INITIALIZE``: something else in this process has initialised acl, and owns its end."""


_VISIBLE: Final = "ASCEND_RT_VISIBLE_DEVICES"
"""The NPUs that CANN shows to a process, which counts them from 0."""


_MEANINGS: Final = {
    107001: "no such device",
    107002: "no context",
    145002: "no such om file",
    145003: "no such model",
    145006: "the om file is cut short or broken",
    207001: "no memory left",
    207004: "no device",
    207006: "no permission: is this user in the driver's group?",
    207018: "no memory left on the device",
    245000: "no memory left",
    507008: "another chip than the om is for",
    507011: "the network failed",
    507014: "the network took too long",
    507015: "the network failed on the device",
    507033: "the device does not start",
    507899: "the driver failed",
    545001: "the om cannot be loaded: is it for this chip, and no newer than this CANN?",
}
"""Codes that a user may meet, from the headers ``rt_error_codes.h`` and ``ge_error_codes.h``."""


def _failure(name: str, code: object) -> BackendError:
    meaning = f" ({_MEANINGS[code]})" if code in _MEANINGS else ""
    return BackendError(f"acl.{name} failed with code {code}{meaning}; CANN's log under ~/ascend/log says why")


class Acl:
    """The module, called by dotted names.

    Args:
        module: ``acl`` itself; tests hand in a simulator.
    """

    def __init__(self, module: Any) -> None:  # noqa: ANN401 - a vendor module without types
        self.module = module

    def call(self, name: str, *arguments: object) -> Any:  # noqa: ANN401 - narrowed by the caller
        """A function that returns its code, alone or after its values.

        Returns:
            The value, a tuple of several, None where there is none.

        Raises:
            BackendError: The code is not 0.
        """
        found = self._function(name)(*arguments)
        *values, code = found if isinstance(found, tuple) else (found,)
        if code != 0:
            raise _failure(name, code)
        return values[0] if len(values) == 1 else tuple(values) or None

    def get(self, name: str, *arguments: object) -> Any:  # noqa: ANN401 - narrowed by the caller
        """A function that returns a bare value, and nothing (0, None or an empty name) where it fails.

        Raises:
            BackendError: It returned nothing.
        """
        value = self.plain(name, *arguments)
        if not value:
            raise BackendError(f"acl.{name} returned {value!r}; CANN's log under ~/ascend/log says why")
        return value

    def plain(self, name: str, *arguments: object) -> Any:  # noqa: ANN401 - narrowed by the caller
        """A function that returns a bare value, of which 0 may be a right one."""
        return self._function(name)(*arguments)

    def version(self) -> str:
        """Of the interface: ``acl.get_version`` is to go, and what follows it states CANN's packages one by one."""
        if not hasattr(self.module, "get_version"):
            return "not stated by acl"
        return ".".join(map(str, self.call("get_version")))

    def _function(self, name: str) -> Callable[..., Any]:
        try:
            found: Callable[..., Any] = attrgetter(name)(self.module)
        except AttributeError as error:
            raise BackendError(f"the acl of this CANN has no function acl.{name}: install a newer CANN") from error
        return found

    def malloc(self, stack: ExitStack, size: int) -> int:
        """Address of so many bytes of device memory, which the stack frees."""
        pointer = self.call("rt.malloc", size, 0)
        stack.callback(self.call, "rt.free", pointer)
        return int(pointer)


class Closable(Protocol):
    """Holds what must be freed before its device goes back. It may be closed again, from any thread."""

    def close(self) -> None:
        """Free it."""


class _Process:
    """What this process holds of one acl module: its devices, what is open, and whether ending it is ours."""

    def __init__(self, *, owner: bool) -> None:
        self.owner = owner
        self.devices: set[int] = set()
        self.opened: set[Closable] = set()


_LOCK = Lock()
_PROCESSES: dict[Any, _Process] = {}


def start(acl: Acl, device: int) -> None:
    """Initialise acl once in this process and claim the device once; both end with `shutdown`, at exit at the latest.

    acl may be initialised once in a process, and resetting a device takes it from every session: neither can belong
    to a session.

    Raises:
        BackendError: acl refused.
    """
    with _LOCK:
        process = _PROCESSES.get(acl.module)
        if process is None:
            code = acl.module.init()
            if code not in {0, REPEAT_INITIALIZE}:
                raise _failure("init", code)
            process = _PROCESSES[acl.module] = _Process(owner=code == 0)
            atexit.register(shutdown, acl)
        if device not in process.devices:
            acl.call("rt.set_device", device)
            process.devices.add(device)


def device_name(acl: Acl, device: int) -> str:
    """The chip and its number; where CANN's own variable decides what that number means, with the variable."""
    name = f"{acl.get('get_soc_name')} {device}"
    visible = os.environ.get(_VISIBLE)
    return f"{name} of {_VISIBLE}={visible}" if visible else name


def attach(acl: Acl, session: Closable) -> None:
    """Have `shutdown` close this unless it is closed before: whoever forgets that must not keep the device."""
    with _LOCK:
        _PROCESSES[acl.module].opened.add(session)


def detach(acl: Acl, session: Closable) -> None:
    """It is closed."""
    with _LOCK:
        if (process := _PROCESSES.get(acl.module)) is not None:
            process.opened.discard(session)


def shutdown(acl: Acl) -> None:
    """Close what is open, give the devices back and finalise acl; nothing where it was not started.

    Raises:
        BackendError: acl refused; the rest is done all the same.
    """
    with _LOCK:
        process = _PROCESSES.pop(acl.module, None)
    if process is None:
        return
    with ExitStack() as stack:
        if process.owner:
            stack.callback(acl.call, "finalize")
        for device in sorted(process.devices):
            stack.callback(acl.call, "rt.reset_device", device)
        for session in process.opened:
            stack.callback(session.close)
