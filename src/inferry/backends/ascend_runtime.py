"""Calls of CANN's Python module ``acl`` with their codes checked, and its start and end in this process."""

import atexit
from collections.abc import Callable
from contextlib import ExitStack
from operator import attrgetter
from threading import Lock
from typing import Any, Final

from inferry.core.errors import BackendError

REPEAT_INITIALIZE: Final = 100002
"""``ACL_ERROR_REPEAT_INITIALIZE``: something else in this process has initialised acl, and owns its end."""


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
            raise BackendError(f"acl.{name} failed with code {code}; CANN's log under ~/ascend/log says why")
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


class _Process:
    """What this process holds of one acl module: its devices, and whether ending it is ours."""

    def __init__(self, *, owner: bool) -> None:
        self.owner = owner
        self.devices: set[int] = set()


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
                raise BackendError(f"acl.init failed with code {code}; CANN's log under ~/ascend/log says why")
            process = _PROCESSES[acl.module] = _Process(owner=code == 0)
            atexit.register(shutdown, acl)
        if device not in process.devices:
            acl.call("rt.set_device", device)
            process.devices.add(device)


def shutdown(acl: Acl) -> None:
    """Give the devices back and finalise acl; nothing where it was not started. Sessions must be closed before.

    Raises:
        BackendError: acl refused; the rest is done all the same.
    """
    with _LOCK, ExitStack() as stack:
        process = _PROCESSES.pop(acl.module, None)
        if process is None:
            return
        if process.owner:
            stack.callback(acl.call, "finalize")
        for device in sorted(process.devices):
            stack.callback(acl.call, "rt.reset_device", device)
