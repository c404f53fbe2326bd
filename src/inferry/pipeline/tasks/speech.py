"""Speech recognition: transcripts and error rates."""

from collections.abc import Iterable, Mapping

from inferry.core.errors import RunError
from inferry.core.samples import Prediction, Reference, Transcription
from inferry.core.scores import Answered
from inferry.metrics.bootstrap import RESAMPLES
from inferry.metrics.error_rates import score_speech
from inferry.metrics.scores import SpeechScore, Utterance


class SpeechRecognition:
    """See `inferry.pipeline.tasks.task.Task`."""

    name = "speech-recognition"
    noun = "utterance"
    agreement = "WER to the truth's texts"
    keeps: tuple[str, ...] = ()

    def score(
        self,
        answered: Iterable[Answered],
        files: Mapping[str, str],  # noqa: ARG002 -- a task's signature
        *,
        normalisation: str = "none",
        resamples: int = RESAMPLES,
    ) -> SpeechScore:
        """Word and character error rates."""
        rows = (Utterance(one.id, _text(one.id, one.reference), str(one.answer["text"])) for one in answered)
        return score_speech(rows, normalisation=normalisation, resamples=resamples)

    def agree(self, pairs: Iterable[tuple[Prediction, Prediction]]) -> float | None:
        """Word error rate of the texts against the truth's."""
        rows = [
            Utterance(str(index), truth.text, found.text)
            for index, (truth, found) in enumerate(pairs)
            if isinstance(truth, Transcription) and isinstance(found, Transcription)
        ]
        return score_speech(rows, resamples=1).wer.rate if rows else None

    def dropped(self) -> Transcription:
        """Every word of it is missing."""
        return Transcription("", 0)


def _text(id_: str, reference: Reference) -> str:
    if not isinstance(reference, str):
        raise RunError(f"the reference of {id_} is no transcript: this data set is for another task")
    return reference
