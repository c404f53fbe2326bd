"""What the parts expect of each other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Protocol

from inferry.core.samples import Features, Prediction, Source
from inferry.core.specs import Array, TensorSpec

MAX_SECONDS: Final = 36.0
"""Longer sounds run in windows unless the user says otherwise. The longest utterance of LibriSpeech's test sets has
34.955 s: by default nothing that is one utterance is cut."""


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
        parts: Further networks that the processor runs (a region detector), by the names of `Recipe.parts`.
    """

    family: str
    path: Path
    sha256: str
    tensors: Mapping[str, Array]
    config: Mapping[str, Any]
    processor: Mapping[str, Any]
    files: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    parts: Mapping[str, "Checkpoint"] = field(default_factory=dict)


@dataclass(frozen=True)
class ExportOptions:
    """What a user may choose when a checkpoint is read. A recipe names those that it takes; None is its default.

    Attributes:
        image_size: Pixels of both sides of the network's input.
        tokenizer: A folder with the tokenizer, or the name of a published one, which is fetched once.
        detector: The region detector's weight file, the name of a published one, or ``none``.
    """

    image_size: int | None = None
    tokenizer: str | None = None
    detector: str | None = None

    @property
    def given(self) -> dict[str, int | str]:
        """Those that were chosen, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


def flag_of(option: str) -> str:
    """What the command line calls one of the `ExportOptions`."""
    return f"--{option.replace('_', '-')}"


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

    def source(self, sample: object) -> Source:
        """What a user may give as a sample: a path stands for the file it names.

        Raises:
            UsageError: It is nothing that this task takes.
        """

    def measure(self, source: Source) -> int:
        """Length along the planned axis, from headers only where possible.

        Raises:
            SampleError: The source cannot be used; the reason is for the user.
        """

    def read(self, source: Source) -> Source:
        """The source in memory, decoded and resampled as the features need it.

        ``process(read(source))`` gives what ``process(source)`` gives; whoever wants to know what reading costs calls
        them one after the other.

        Raises:
            SampleError: Likewise.
        """

    def process(self, source: Source) -> Features:
        """All inputs of the graph for this source.

        Raises:
            SampleError: Likewise.
        """


Runner = Callable[[Mapping[str, Array]], dict[str, Array]]
"""Runs a further network of a bundle; may be called from any thread.

Raises `BackendError` where the runtime refuses.
"""


class Decoder(Protocol):
    """Turns one sample's raw outputs, cut to their true length, into a prediction."""

    def decode(self, outputs: Mapping[str, Array], *, detailed: bool = False) -> Prediction:
        """The answer.

        Args:
            outputs: Of one sample, cut to their true length.
            detailed: With all that can be said about it (for speech: where each word lies, and how sure it is).
        """

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


@dataclass(frozen=True, slots=True)
class Window:
    """A part of a source that the network sees at once.

    Attributes:
        source: The part.
        start: Seconds from the beginning of the whole to its own.
    """

    source: Source
    start: float = 0.0


class Cutter(Protocol):
    """Cuts what is too long for one pass of the network into overlapping windows, and joins their outputs."""

    def cut(self, source: Source, seconds: float) -> tuple[Window, ...]:
        """Windows of at most so many seconds that overlap; one window, the source itself, where it is no longer.

        Raises:
            SampleError: The source cannot be used.
        """

    def empty(self, outputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs of a window whose input alone says that nothing is in it (silence), in the same shapes."""

    def join(self, windows: Sequence[Window], outputs: Sequence[Mapping[str, Array]]) -> dict[str, Array]:
        """The outputs of the whole source, as if the network had seen it at once.

        What it chooses may hang on nothing but what `Decoder.margin` guards, so that the rounding noise of a batch
        cannot change an answer.

        Args:
            windows: As `cut` gave them.
            outputs: Of each of them, cut to their true length.

        Raises:
            SampleError: They leave a gap.
        """


@dataclass(frozen=True)
class Decoding:
    """How outputs become an answer where the family leaves a choice. The defaults are the original's greedy decoding.

    Attributes:
        beam: Width of the prefix beam search; None for greedy decoding, unless a language model or hotwords are given.
        language_model: An ARPA file.
        alpha: Weight of the language model's natural logarithms.
        beta: Added for each word that the language model scores.
        hotwords: Words or phrases that the search prefers.
        hotword_weight: Added for each word of a hotword.
    """

    beam: int | None = None
    language_model: Path | None = None
    alpha: float = 0.5
    beta: float = 2.0
    hotwords: tuple[str, ...] = ()
    hotword_weight: float = 5.0

    @property
    def greedy(self) -> bool:
        """Whether nothing was asked for but the original's decoding."""
        return self.beam is None and self.language_model is None and not self.hotwords


@dataclass(frozen=True)
class SessionOptions:
    """How a bundle is opened.

    Attributes:
        precision: ``fp32`` (later backends know more).
        threads: Intra-operator threads, None for as many as the process may use.
        optimise: Whether the runtime may rewrite the graph; False runs it as it stands in the file.
    """

    precision: str = "fp32"
    threads: int | None = None
    optimise: bool = True


class Session(Protocol):
    """A bundle opened on a backend. `run` may be called from one thread at a time.

    One that runs a compiled artifact (`inferry.core.compiled.Compiled`), and so only its shapes, has it as
    ``compiled``; its ``padded(shapes)`` gives the shapes, by input, that inputs of these shapes are padded to.
    """

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
    """A runtime that opens bundles.

    One that can say what it runs on and how exactly without opening anything has ``runs`` too, such as ``cpu, fp32``:
    ``inferry doctor`` shows it. One that leaves a bundle's further networks to another backend names it in
    ``parts_on``. One whose network runs on a device, whatever `SessionOptions.threads` says, has ``threaded = False``,
    and its signature states one thread.
    """

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
        sha256: Or its first digits; None if the publisher does not state it (a Hugging Face repository states its own).
        required: Whether the checkpoint is unusable without it.
    """

    name: str
    url: str = ""
    repo: str = ""
    size: int | None = None
    sha256: str | None = None
    required: bool = True


@dataclass(frozen=True)
class OldRecipe:
    """How the family's published recipe feeds its data, for comparison only. Padding counts as input there.

    Attributes:
        length: Every sample is padded to this length along the planned axis.
        true_outputs: Whether it cuts the outputs to the sample's own length before decoding; otherwise what the network
            says about the padding is decoded too. Longer samples are dropped either way.
        source: Where this is written.
    """

    length: int
    true_outputs: bool
    source: str


@dataclass(frozen=True)
class Part:
    """A further network of a family, which its processor runs on single samples.

    Attributes:
        build: Tensors to graph; its batch dimension, if it has one, is 1.
        reference: The original network; raises MissingDependencyError without the extra.
        probes: Inputs for the self-check at export, as the graph takes them.
    """

    build: Callable[[Checkpoint], Network]
    reference: Callable[[Checkpoint], Reference]
    probes: Callable[[Checkpoint], Sequence[Mapping[str, Array]]]


@dataclass(frozen=True)
class Recipe:
    """A model family, as the list of its parts. Knows no backend and no data set.

    Attributes:
        family: Registry key.
        task: ``speech-recognition``, ``image-classification`` or ``visual-question-answering``.
        summary: One line for `inferry models`.
        presets: Published checkpoints.
        read: Checkpoint path to tensors, as the user wants it.
        build: Tensors to graph.
        processor: From processor.json, the bundle's text files, and what runs its further networks.
        decoder: Likewise, and how the user wants it decoded.
        reference: The original network from a checkpoint; raises MissingDependencyError without the extra.
        probes: Samples for the self-check at export, from processor.json: several lengths, seeded.
        cutter: For inputs too long for one pass, from processor.json; None where the task has none.
        old_recipe: What ``inferry bench --baseline recipe`` compares with; None where there is none.
        takes: Names of the `ExportOptions` that `read` heeds.
        parts: Further networks, by the names of `Checkpoint.parts`.
    """

    family: str
    task: str
    summary: str
    presets: tuple[Preset, ...]
    read: Callable[[Path, ExportOptions], Checkpoint]
    build: Callable[[Checkpoint], Network]
    processor: Callable[[Mapping[str, Any], Mapping[str, str], Mapping[str, Runner]], Processor]
    decoder: Callable[[Mapping[str, Any], Mapping[str, str], Decoding], Decoder]
    reference: Callable[[Checkpoint], Reference]
    probes: Callable[[Mapping[str, Any]], Sequence[Source]]
    cutter: Callable[[Mapping[str, Any]], Cutter] | None = None
    old_recipe: OldRecipe | None = None
    takes: tuple[str, ...] = ()
    parts: Mapping[str, Part] = field(default_factory=dict)
