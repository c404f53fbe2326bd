"""What the parts expect of each other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from inferry.core.samples import Audio, Features, Prediction, Source
from inferry.core.specs import Array, TensorSpec


@dataclass(frozen=True)
class Checkpoint:
    """A trained model, read into memory without running any of its code.

    Attributes:
        family: Registry key of the recipe.
        path: The file or folder it came from.
        sha256: Of the weight file.
        tensors: By their original names; float32 (integer buffers keep their dtype). Weight norm already resolved.
        config: Architecture, JSON values only, under the original names.
        processor: The content of processor.json: all of pre- and post-processing.
        files: Further text files for the bundle (vocab.json, labels.txt ...), by name.
        notes: What the reader decided that a user should know (one sentence each).
    """

    family: str
    path: Path
    sha256: str
    tensors: Mapping[str, Array]
    config: Mapping[str, Any]
    processor: Mapping[str, Any]
    files: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Network:
    """A graph written from a checkpoint's tensors.

    Attributes:
        model: An ``onnx_ir.Model`` (core does not import onnx_ir, so it is opaque here).
        inputs: Its inputs, batch first.
        outputs: Its outputs, batch first.
        opset: Of the default domain.
    """

    model: Any
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    opset: int


class Processor(Protocol):
    """Turns one source into the graph's inputs."""

    def measure(self, source: Source) -> int:
        """Length along the planned axis, from headers only where possible.

        Raises:
            SampleError: The source cannot be used; the reason is for the user.
        """

    def process(self, source: Source) -> Features:
        """All inputs of the graph for this source.

        Raises:
            SampleError: Likewise.
        """


class Decoder(Protocol):
    """Turns one sample's raw outputs, cut to their true length, into a prediction."""

    def decode(self, outputs: Mapping[str, Array]) -> Prediction:
        """The answer."""

    def margin(self, outputs: Mapping[str, Array]) -> float:
        """Smallest difference between the best and the second best score: how near the answer is to another one."""


class Reference(Protocol):
    """The original network in torch."""

    def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Outputs of one sample alone and unpadded; inputs and outputs as in the graph, without the batch dimension.

        Computed in float64 where the network allows it, so that the truth's own rounding takes nothing of a tolerance.
        """

    def signature(self) -> dict[str, str]:
        """What computed it: package names and versions."""


@dataclass(frozen=True)
class SessionOptions:
    """How a bundle is opened.

    Attributes:
        precision: ``fp32`` (later backends know more).
        threads: Intra-operator threads, None for as many as the process may use.
    """

    precision: str = "fp32"
    threads: int | None = None


class Session(Protocol):
    """A bundle opened on a backend. `run` may be called from one thread at a time."""

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """All outputs of one batch.

        Raises:
            BackendError: The runtime refused, with its reason.
        """

    def signature(self) -> dict[str, Any]:
        """Runtime, version, device, precision and threads that are really in use."""

    def close(self) -> None:
        """Free the runtime's memory; a closed session cannot run."""


class Backend(Protocol):
    """A runtime that opens bundles."""

    name: str

    def missing(self) -> str | None:
        """Why it cannot be used here, with the line that installs it; None if it can."""

    def open(self, model: Path, options: SessionOptions) -> Session:
        """Open an ONNX file.

        Raises:
            BackendError: The file cannot be opened, or an option cannot be honoured.
        """


@dataclass(frozen=True)
class Preset:
    """A published checkpoint that can be named instead of a path.

    Attributes:
        name: As the publisher names it.
        accuracy: The published figure with its source, for people.
        source: Where to get it by hand.
        files: What to fetch; see `inferry.checkpoints.download`.
    """

    name: str
    accuracy: str
    source: str
    files: tuple["PresetFile", ...]


@dataclass(frozen=True)
class PresetFile:
    """One file of a preset.

    Attributes:
        name: File name in the checkpoint folder.
        url: Release address; empty when `repo` names a Hugging Face repository.
        repo: Hugging Face repository.
        size: Bytes, None if the publisher does not state it.
        sha256: None if the publisher does not state it (a Hugging Face repository states its own).
        required: Whether the checkpoint is unusable without it.
    """

    name: str
    url: str = ""
    repo: str = ""
    size: int | None = None
    sha256: str | None = None
    required: bool = True


@dataclass(frozen=True)
class Recipe:
    """A model family, as the list of its parts. Knows no backend and no data set.

    Attributes:
        family: Registry key.
        task: ``speech-recognition`` …
        summary: One line for `inferry models`.
        presets: Published checkpoints.
        read: Checkpoint path to tensors.
        build: Tensors to graph.
        processor: From processor.json and the bundle's text files.
        decoder: Likewise.
        reference: The original network from a checkpoint; raises MissingDependencyError without the extra.
        probes: Sounds for the self-check at export: several lengths, seeded.
    """

    family: str
    task: str
    summary: str
    presets: tuple[Preset, ...]
    read: Callable[[Path], Checkpoint]
    build: Callable[[Checkpoint], Network]
    processor: Callable[[Mapping[str, Any], Mapping[str, str]], Processor]
    decoder: Callable[[Mapping[str, Any], Mapping[str, str]], Decoder]
    reference: Callable[[Checkpoint], Reference]
    probes: Callable[[Mapping[str, Any]], Sequence[Audio]]
