"""From files to answers, one file after the other: how each task is asked, and how its answers are shown."""

import shlex
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from inferry.core.bundle import Bundle
from inferry.core.errors import BackendError, SampleError, UsageError
from inferry.core.files import write_atomic
from inferry.core.samples import (
    Answer,
    AudioFile,
    Classification,
    ImageFile,
    Prediction,
    Question,
    RegionFile,
    Transcription,
)
from inferry.pipeline.model import Model, SampleLike
from inferry.processing.audio import measure
from inferry.report import captions, ranking
from inferry.report.captions import Transcript, ctm_name, readable
from inferry.report.ranking import Ranking

Shown = Transcript | Ranking
"""What is shown of a file; both have the same ways to show it."""


@dataclass(frozen=True, slots=True)
class Query:
    """One thing that is asked of a file.

    Attributes:
        text: The question; None where the task knows none.
        number: Of several questions, from 1 on.
    """

    text: str | None = None
    number: int | None = None


@dataclass(frozen=True, slots=True)
class Predicted:
    """An answer.

    Attributes:
        shown: The answer with what it belongs to.
        windows: Windows that the network saw it in, 1 where it saw all at once.
    """

    shown: Shown
    windows: int


@dataclass(frozen=True, slots=True)
class Failed:
    """A file, or a question about it, that has no answer.

    Attributes:
        file: Its path, readable.
        question: What was asked, None where the task knows no questions.
        reason: The stage and a sentence.
    """

    file: str
    question: str | None
    reason: str

    def to_json(self) -> dict[str, Any]:
        """A JSON object: ``file``, ``question`` where there is one, ``error``."""
        asked = {} if self.question is None else {"question": self.question}
        return {"file": self.file, **asked, "error": self.reason}


@dataclass(frozen=True, slots=True)
class Manner:
    """How a task is asked, and how its answers are shown.

    Attributes:
        formats: What its answers can be written as.
        show: The file, what was asked, and the answer to what is shown.
        plain: Formats that need no details of an answer.
        asks: Whether it answers questions about pictures.
    """

    formats: tuple[str, ...]
    show: Callable[[Path, Query, Prediction], Shown]
    plain: tuple[str, ...] = ()
    asks: bool = False

    def source(self, file: Path, question: str | None) -> SampleLike:
        """The sample that a file is, with a question about it."""
        if not self.asks:
            return file
        if is_regions(file):
            return Question(regions=RegionFile(file, file, file), text=question)
        return Question(image=ImageFile(file), text=question)


def _transcript(file: Path, query: Query, prediction: Prediction) -> Transcript:  # noqa: ARG001 -- a manner's signature
    assert isinstance(prediction, Transcription), "a sound's answer is a transcription"
    return Transcript(file, measure(AudioFile(file), 1000) / 1000, prediction)


def _ranking(file: Path, query: Query, prediction: Prediction) -> Ranking:
    assert isinstance(prediction, Classification | Answer), "a picture's answer is a ranking"
    return Ranking(file, prediction, query.text, query.number)


MANNERS: Final[Mapping[str, Manner]] = {
    "speech-recognition": Manner(tuple(captions.FORMATS), _transcript, plain=("text",)),
    "image-classification": Manner(tuple(ranking.FORMATS), _ranking),
    "visual-question-answering": Manner(tuple(ranking.FORMATS), _ranking, asks=True),
}
"""By the name of the task."""

FORMATS: Final = tuple(dict.fromkeys(name for manner in MANNERS.values() for name in manner.formats))
"""Of all tasks."""


def is_regions(file: Path) -> bool:
    """Whether a file holds ready-made regions instead of a picture."""
    return file.suffix.lower() == ".npz"


def manner_of(task: str) -> Manner:
    """How a task is asked and shown.

    Raises:
        UsageError: The task is unknown.
    """
    if task not in MANNERS:
        raise UsageError(f"answers of the task {task!r} cannot be shown; those that can: {', '.join(MANNERS)}")
    return MANNERS[task]


def check_request(
    bundle: Bundle, files: Sequence[Path], kind: str, questions: Sequence[str], draw: Path | None
) -> Manner:
    """Require that the bundle's task can answer what is asked.

    Args:
        bundle: Who is asked.
        files: At least one.
        kind: Format of the answers.
        questions: About each of the files.
        draw: Where the regions are to be drawn.

    Returns:
        How it is asked and shown.

    Raises:
        UsageError: It cannot.
    """
    task = bundle.manifest.task
    manner = manner_of(task)
    if kind not in manner.formats:
        raise UsageError(f"--format {kind} is not for {task}; available: {', '.join(manner.formats)}")
    for option, given in (("--question", bool(questions)), ("--draw", draw is not None)):
        if given and not manner.asks:
            raise UsageError(f"{option} is for bundles that answer questions; this one does {task}: leave it out")
    if any(not question.strip() for question in questions):
        raise UsageError("--question is empty: write a question")
    if manner.asks and not questions:
        names = [f"./{name}" if name.startswith("-") else name for name in map(readable, files)]  # no options
        line = ["inferry", "predict", readable(bundle.path), *names, "--question", "what is this?"]
        raise UsageError(f"this bundle answers questions: ask one, as in\n  {shlex.join(line)}")
    return manner


def predict(
    model: Model, files: Iterable[Path], questions: Sequence[str] = (), *, detailed: bool
) -> Iterator[Predicted | Failed]:
    """The answer to each file, or to each question about it.

    Every file is computed alone, so that words and scores carry no rounding noise of a batch.

    Args:
        model: An opened bundle.
        files: Sounds, pictures or, where the task asks, ready-made regions.
        questions: For a task that asks.
        detailed: With the words' times and confidences, or the scores of classes and answers, which a `Ranking` needs.

    Yields:
        In the order of `files`, and then of `questions`.
    """
    manner = manner_of(model.bundle.manifest.task)
    many = len(questions) > 1
    queries = [Query(text, number if many else None) for number, text in enumerate(questions, 1)] or [Query()]
    for file in files:
        for query in queries:
            try:
                answer: Predicted | Failed = _answer(model, manner, file, query, detailed=detailed)
            except SampleError as error:
                answer = Failed(readable(file), query.text, f"{error.stage}: {error.reason}")
            except BackendError as error:  # as in a run: what is too long for the memory does not spoil the others
                answer = Failed(readable(file), query.text, f"infer: {error}")
            yield answer


def _answer(model: Model, manner: Manner, file: Path, query: Query, *, detailed: bool) -> Predicted:
    source = manner.source(file, query.text)
    windows = len(model.cut(source))
    (prediction,) = model.predict([source], detailed=detailed)
    return Predicted(manner.show(file, query, prediction), windows)


def check_names(files: Sequence[Path], kind: str) -> None:
    """Require that files can be told apart by their names without folder and suffix.

    Args:
        files: Inputs.
        kind: One of `FORMATS`; in CTM white space does not tell names apart.

    Raises:
        UsageError: Two files share a name.
    """
    names = [ctm_name(file) if kind == "ctm" else file.stem for file in files]
    counts = Counter(names)
    if same := [readable(file) for file, name in zip(files, names, strict=True) if counts[name] > 1]:
        raise UsageError(f"{', '.join(same)} have one name without folder and suffix: name them in separate calls")


def write_answer(shown: Shown, kind: str, folder: Path) -> Path:
    """Write an answer into a folder, which is made if need be: ``a.flac`` becomes ``a.srt``.

    Args:
        shown: The answer. The answers to several questions about ``a.jpg`` become ``a.1.json``, ``a.2.json`` and so on.
        kind: A format of its task.
        folder: Where to.

    Returns:
        Its path.

    Raises:
        UsageError: The folder cannot be made or written.
    """
    path = folder / f"{shown.stem}.{'txt' if kind == 'text' else kind}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(path, shown.render(kind))
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error}): choose another --output") from error
    return path
