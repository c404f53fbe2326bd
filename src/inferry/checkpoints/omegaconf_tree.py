"""Plain values out of a pickled omegaconf tree, whose classes are only stubs here.

After omegaconf 2.0: a node's state holds ``_content`` (containers), or ``_val`` (values), and ``_metadata``.
"""

from typing import Any

from inferry.checkpoints.pickles import Stub

_DEEPEST = 32


def plain(node: object, depth: int = 0) -> object:
    """Dictionaries, lists and values of a configuration; an enumeration member becomes its value.

    Only downward links are followed: a node's ``_parent`` leads back to the whole training configuration. A class (such
    as ``torch.nn.modules.rnn.LSTM``) becomes its full name, anything unknown None.
    """
    if depth > _DEEPEST:
        return None
    if isinstance(node, dict):
        return {key: plain(value, depth + 1) for key, value in node.items() if isinstance(key, str)}
    if isinstance(node, list | tuple):
        return [plain(value, depth + 1) for value in node]
    if isinstance(node, type) and issubclass(node, Stub):
        return node.name
    if isinstance(node, Stub):
        return _plain_stub(node, depth)
    return node if node is None or isinstance(node, bool | int | float | str) else None


def _plain_stub(node: Stub, depth: int) -> object:
    state = state_of(node)
    for key in ("_content", "_val"):
        if key in state:
            return plain(state[key], depth + 1)
    if state:  # a plain dataclass instead of a DictConfig
        return plain(state, depth + 1)
    return plain(node.args[0], depth + 1) if len(node.args) == 1 else None  # an enumeration member


def state_of(node: object) -> dict[str, Any]:
    """The attributes of an object that is only a stub here; empty for anything else."""
    state = node.state if isinstance(node, Stub) else None
    return state if isinstance(state, dict) else {}


def type_of(node: object) -> str:
    """Full name of the dataclass that a configuration was made from; empty if unknown."""
    metadata = state_of(state_of(node).get("_metadata"))
    for kind in (metadata.get("object_type"), type(node)):
        if isinstance(kind, type) and issubclass(kind, Stub):
            return kind.name
    return ""
