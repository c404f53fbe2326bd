"""What is kept of a pass that was rolled back: files that show its fault, without the rest of the model if possible."""

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from zipfile import ZipFile

import numpy as np

from inferry.core.errors import BackendError, UsageError
from inferry.core.files import write_atomic
from inferry.core.specs import Array
from inferry.pipeline.comparison.probing import Side
from inferry.pipeline.optimising.files import load_model, save_model
from inferry.pipeline.optimising.prover import relative_difference
from inferry.pipeline.optimising.subgraph import NOISE, Part, cut_out, run_part

BEFORE: Final = "before.onnx"
AFTER: Final = "after.onnx"
INPUTS: Final = "inputs.npz"
README: Final = "README.txt"

_RUN: Final = f"""
Run both on the same inputs, without the runtime's own rewrites:

    import numpy as np
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    inputs = dict(np.load("{INPUTS}"))
    for file in ("{BEFORE}", "{AFTER}"):
        print(file, ort.InferenceSession(file, options).run(None, inputs))
"""


@dataclass(frozen=True)
class Failure:
    """What was kept of a pass that was rolled back.

    Attributes:
        folder: Where it lies.
        nodes: Of the kept part, as the pass left it; None where the whole model was kept.
        tensor: What the part gives: the first tensor that departs; empty where the whole model was kept.
        node: What makes it; empty where the pass put other nodes there.
        whole: Why the whole model was kept; empty where a part was.
    """

    folder: Path
    nodes: int | None = None
    tensor: str = ""
    node: str = ""
    whole: str = ""

    def to_json(self) -> dict[str, Any]:
        """A JSON object."""
        return {**vars(self), "folder": str(self.folder)}


@dataclass(frozen=True)
class Fault:
    """A pass that is rolled back.

    Attributes:
        name: Of the pass.
        problem: Why it is.
        before: The model before it.
        after: The model after it; None where there is none.
        inputs: That show it; None where it has nothing to do with them.
        output: Whose numbers differ; empty where no part of the model can be made responsible.
        whole: Why, in that case.
    """

    name: str
    problem: str
    before: Path
    after: Path | None = None
    inputs: Mapping[str, Array] | None = None
    output: str = ""
    whole: str = ""


class Failures:
    """The folder ``<output>.failed``, in which each pass that is rolled back has a folder.

    One of an earlier run is removed at once.

    Args:
        output: What is being written: a file or a bundle.
        scratch: Where the folders are made before `publish`; it need not exist.

    Raises:
        UsageError: A folder of that name holds something else.
    """

    def __init__(self, output: Path, scratch: Path) -> None:
        self.folder = output.with_name(f"{output.name}.failed")
        self._scratch = scratch
        if self.folder.exists() and not _is_ours(self.folder):
            raise UsageError(f"{self.folder} holds what Inferry did not write, and failed passes go there: rename it")
        shutil.rmtree(self.folder, ignore_errors=True)

    def publish(self) -> None:
        """Put what was kept beside the output."""
        if self._scratch.exists():
            self._scratch.replace(self.folder)

    def keep(self, fault: Fault, tolerance: float) -> Failure:
        """Write the smallest part that shows a fault, or the whole model where there is none.

        Args:
            fault: What went wrong.
            tolerance: What a pass may change, as a part of a tensor's scale.
        """
        folder = self._new(fault.name)
        part, whole = (None, fault.whole) if fault.whole else _narrow(fault, folder, tolerance)
        if part is None:
            _write_whole(folder, fault)
        _write_readme(folder, fault, part, whole)
        place = self.folder / folder.name
        if part is None:
            return Failure(place, whole=whole)
        found = part.departure
        return Failure(place, part.nodes, found.tensor, "" if found.unseen else found.node)

    def _new(self, name: str) -> Path:
        """A folder for a pass; one that ran before has the name without a number."""
        base = re.sub(r"[^\w-]", "_", name)
        number = 1
        while (folder := self._scratch / (base if number == 1 else f"{base}-{number}")).exists():
            number += 1
        folder.mkdir(parents=True)
        return folder


def _is_ours(folder: Path) -> bool:
    return folder.is_dir() and all((entry / README).is_file() for entry in folder.iterdir())


def _narrow(fault: Fault, folder: Path, tolerance: float) -> tuple[Part | None, str]:
    """The part, once its files are seen to differ; or why there is none."""
    assert fault.inputs is not None, "an output differs on some inputs"
    assert fault.after is not None, "an output of it differs"
    sides = Side(fault.before, fault.inputs), Side(fault.after, fault.inputs)
    try:
        part = cut_out(*sides, fault.output, tolerance)
        if part is None:
            return None, "the pass renamed too much to name a first tensor that departs"
        save_model(part.before, folder / BEFORE)
        save_model(part.after, folder / AFTER)
        before, after = run_part(folder / BEFORE, folder / AFTER, part.inputs)
    except BackendError as error:
        return None, f"a part of it does not run by itself ({error})"
    tensor = part.departure.tensor
    if relative_difference(before[tensor], after[tensor]) <= tolerance * NOISE:
        return None, "a part of it does not show the difference by itself"
    _write_arrays(folder / INPUTS, part.inputs)
    return part, ""


def _write_whole(folder: Path, fault: Fault) -> None:
    for source, name in ((fault.before, BEFORE), (fault.after, AFTER)):
        (folder / name).unlink(missing_ok=True)
        if source is not None:
            save_model(load_model(source, shapes=False), folder / name)
    if fault.inputs is not None:
        _write_arrays(folder / INPUTS, fault.inputs)


def _write_arrays(path: Path, arrays: Mapping[str, Array]) -> None:
    """As `np.savez` does, which takes no array with the name of one of its own parameters."""
    with ZipFile(path, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as file:
                np.lib.format.write_array(file, np.asarray(array), allow_pickle=False)


def _write_readme(folder: Path, fault: Fault, part: Part | None, whole: str) -> None:
    lines = [f"The pass {fault.name} was rolled back: {fault.problem}", ""]
    if part is not None:
        found = part.departure
        lines += [
            f"{BEFORE} and {AFTER} are a part of the model, before and after the pass: from the tensors",
            f"on which both still agree ({INPUTS}) to the first on which they do not. That is",
            f"{found.tensor}, made by the {found.operator} {found.node}.",
            f"It differs by up to {found.difference:.3g}, at a scale of {found.scale:.3g}.",
        ]
    else:
        lines += [f"{BEFORE} is the whole model before the pass, for {whole}."]
        lines += [] if fault.after is None else [f"{AFTER} is the model as the pass left it."]
    text = "\n".join(lines) + "\n"
    write_atomic(folder / README, text + _RUN if (folder / AFTER).is_file() and (folder / INPUTS).is_file() else text)
