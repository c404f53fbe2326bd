"""Greedy decoding of connectionist temporal classification (Graves et al. 2006), as the original models do it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from inferry.core.errors import SampleError
from inferry.core.samples import Transcription
from inferry.core.specs import Array
from inferry.processing.alignment import align_words

Style = Literal["huggingface", "deepspeech"]


@dataclass(frozen=True, slots=True)
class GreedyCtcDecoder:
    """The best token of each frame, repeats merged, blanks dropped.

    Both originals agree on that; a blank between two equal tokens keeps both. `huggingface`
    (`Wav2Vec2CTCTokenizer.decode`, transformers) then strips the text, `deepspeech` (`GreedyDecoder`,
    deepspeech.pytorch V3.0) does not. Special tokens such as ``<s>`` stay in the text.

    Attributes:
        tokens: The vocabulary in index order.
        style: Whose decoding.
        blank: Index of the blank.
        word_delimiter: The token that stands for a space.
        frame_seconds: From one frame to the next.
    """

    tokens: tuple[str, ...]
    style: Style
    blank: int
    word_delimiter: str
    frame_seconds: float

    def decode(self, outputs: Mapping[str, Array], *, detailed: bool = False) -> Transcription:
        """The text of one utterance.

        Args:
            outputs: `logits`, float (frames, vocabulary), cut to the true frames.
            detailed: With the words of the text; see `align_words`.

        Raises:
            SampleError: A logit is not finite, or the vocabulary has another size.
        """
        logits = checked_logits(outputs, len(self.tokens))
        ids = logits.argmax(axis=-1) if logits.size else np.zeros(0, dtype=np.intp)
        letters, tokens = self._letters(), merged(ids, self.blank)
        text = "".join(letters[token] for token in tokens)
        words = None
        if detailed:
            words = align_words(
                logits, tokens.tolist(), letters=letters, blank=self.blank, frame_seconds=self.frame_seconds
            )
        return Transcription(text.strip() if self.style == "huggingface" else text, len(ids), words)

    def margin(self, outputs: Mapping[str, Array]) -> float:
        """Smallest difference between the best and the second best logit of a frame; infinite without frames.

        Raises:
            SampleError: As for `decode`.
        """
        logits = checked_logits(outputs, len(self.tokens))
        if logits.shape[0] == 0 or logits.shape[1] < 2:
            return float("inf")
        best = np.partition(logits, -2, axis=-1)[:, -2:]
        return float((best[:, 1] - best[:, 0]).min())

    def _letters(self) -> Sequence[str]:
        return [" " if token == self.word_delimiter else token for token in self.tokens]


def checked_logits(outputs: Mapping[str, Array], tokens: int) -> Array:
    """The output `logits` of one utterance, (frames, tokens).

    Args:
        outputs: Of a network.
        tokens: Size of the vocabulary.

    Raises:
        SampleError: A logit is not finite, or the vocabulary has another size.
    """
    logits = outputs["logits"]
    if logits.ndim != 2 or logits.shape[1] != tokens:
        raise SampleError("decode", f"logits have shape {logits.shape}; expected (frames, {tokens} tokens)")
    if not np.isfinite(logits).all():
        raise SampleError("decode", f"{np.count_nonzero(~np.isfinite(logits))} logits are NaN or infinite")
    return logits


def merged(ids: npt.NDArray[np.integer], blank: int) -> npt.NDArray[np.integer]:
    """Token indices (frames,) without repeats of the frame before and without blanks."""
    kept = ids != blank
    kept[1:] &= ids[1:] != ids[:-1]
    result: npt.NDArray[np.integer] = ids[kept]
    return result
