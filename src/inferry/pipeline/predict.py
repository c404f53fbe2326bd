"""From files to transcripts, one file after the other."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from inferry.core.errors import BackendError, SampleError, UsageError
from inferry.core.files import write_atomic
from inferry.core.samples import AudioFile, Rejected, Transcription
from inferry.pipeline.model import Model
from inferry.processing.audio import measure
from inferry.report.captions import FORMATS, Transcript, ctm_name, readable


def predict(model: Model, files: Iterable[Path], *, detailed: bool) -> Iterator[Transcript | Rejected]:
    """What is said in each file. Every file is computed alone, so that words carry no rounding noise of a batch.

    Args:
        model: An opened bundle.
        files: Audio files.
        detailed: With the words' times and confidences.

    Yields:
        A `Transcript`, or a `Rejected` for a bad file, in the order of `files`.
    """
    for file in files:
        name = readable(file)
        try:
            seconds = measure(AudioFile(file), 1000) / 1000
            (prediction,) = model.predict([file], detailed=detailed)
        except SampleError as error:
            yield Rejected(name, name, error.stage, error.reason)
        except BackendError as error:  # as in a run: what is too long for the memory does not spoil the others
            yield Rejected(name, name, "infer", str(error))
        else:
            assert isinstance(prediction, Transcription), "a file that can be measured in seconds is a sound"
            yield Transcript(file, seconds, prediction)


def check_names(files: Sequence[Path], kind: str) -> None:
    """Require that files can be told apart by their names without folder and suffix.

    Args:
        files: Audio files.
        kind: One of `FORMATS`; in CTM white space does not tell names apart.

    Raises:
        UsageError: Two files share a name.
    """
    names = [ctm_name(file) if kind == "ctm" else file.stem for file in files]
    counts = Counter(names)
    if same := [readable(file) for file, name in zip(files, names, strict=True) if counts[name] > 1]:
        raise UsageError(f"{', '.join(same)} have one name without folder and suffix: name them in separate calls")


def write_transcript(transcript: Transcript, kind: str, folder: Path) -> Path:
    """Write a file of `FORMATS` into a folder, which is made if need be: ``a.flac`` becomes ``a.srt``.

    Returns:
        Its path.

    Raises:
        UsageError: The folder cannot be made or written.
    """
    path = folder / f"{transcript.file.stem}.{'txt' if kind == 'text' else kind}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomic(path, FORMATS[kind](transcript))
    except OSError as error:
        raise UsageError(f"{path} cannot be written ({error}): choose another --output") from error
    return path
