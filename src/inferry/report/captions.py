"""Transcriptions as files that other programs read: text, SRT, WebVTT, JSON and NIST's CTM."""

import html
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from textwrap import wrap
from typing import Any, Final

from inferry.core.files import to_json_text
from inferry.core.samples import Transcription, Word

_LINE: Final = 42
"""Most characters a line: what broadcasters' guides ask of subtitles."""
_LINES: Final = 2
_LONGEST: Final = 7.0
"""Most seconds a cue, from its first word to its last."""
_SHORTEST: Final = 1.0
_LINGER: Final = 0.25
"""A cue stays on the screen for at least a second, and so long after its last word's end, which is early by nature (see
docs/decisions/0014-word-times.md), if the next one leaves the time."""
_PAUSE: Final = 0.8
"""Seconds of silence that always end a cue."""


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said in one file.

    Attributes:
        file: The file.
        seconds: Duration of its sound.
        transcription: The answer; SRT, WebVTT and CTM need its words.
    """

    file: Path
    seconds: float
    transcription: Transcription

    @property
    def heading(self) -> str:
        """What stands before the text where answers to several files share a screen."""
        return f"{readable(self.file)}: "

    @property
    def stem(self) -> str:
        """Name without suffix of the file that the transcript is written to."""
        return self.file.stem

    def render(self, kind: str) -> str:
        """One of `FORMATS`."""
        return FORMATS[kind](self)

    def to_json(self) -> dict[str, Any]:
        """A JSON object: ``file``, ``seconds``, ``text``, ``frames``, and ``words`` where they were asked for."""
        return {"file": readable(self.file), "seconds": round(self.seconds, 3), **self.transcription.to_json()}

    @property
    def words(self) -> tuple[Word, ...]:
        """The words with their times.

        Raises:
            ValueError: Nobody asked for them.
        """
        if self.transcription.words is None:
            raise ValueError(f"{self.file} was transcribed without words; predict it with detailed=True")
        return self.transcription.words


@dataclass(frozen=True, slots=True)
class Cue:
    """What stands on the screen at one time.

    Attributes:
        start: Milliseconds.
        end: Milliseconds, not after the next cue's start.
        lines: One or two, without markup.
    """

    start: int
    end: int
    lines: tuple[str, ...]


def cues(words: Sequence[Word], seconds: float) -> tuple[Cue, ...]:
    """Words in readable groups: at most two lines of 42 characters and 7 s each, with breaks at pauses.

    Only a single word that is longer than that passes a limit. A cue begins with its first word. It stays for a quarter
    of a second after its last one, and for at least a second, if neither the next cue nor the sound's end comes first.

    Args:
        words: In order, without overlap.
        seconds: Duration of the sound.
    """
    groups = [part for run in _runs(words) for part in _parts(run)]
    limits = [*(group[0].start for group in groups[1:]), seconds]
    shown = []
    for group, limit in zip(groups, limits, strict=False):  # no words, no groups, but one limit
        start, spoken = group[0].start, group[-1].end
        end = max(spoken, min(max(spoken + _LINGER, start + _SHORTEST), limit))
        shown.append(Cue(round(start * 1000), round(end * 1000), _wrapped(group)))
    return tuple(shown)


def _runs(words: Sequence[Word]) -> Iterator[Sequence[Word]]:
    """Words without a long pause between them."""
    breaks = [i for i, (one, two) in enumerate(pairwise(words), 1) if two.start - one.end >= _PAUSE]
    for start, stop in pairwise([0, *breaks, len(words)]):
        if start < stop:
            yield words[start:stop]


def _parts(words: Sequence[Word]) -> list[Sequence[Word]]:
    """Halves of halves until all fit; each cut is at the longest pause of the middle half, so that no part is tiny."""
    count = len(words)
    if count == 1 or _fits(words):
        return [words]

    def merit(cut: int) -> tuple[float, int]:
        return round(words[cut].start - words[cut - 1].end, 3), -abs(2 * cut - count)

    cut = max(range(max(1, count // 4), count - count // 4), key=merit)
    return _parts(words[:cut]) + _parts(words[cut:])


def _fits(words: Sequence[Word]) -> bool:
    lines = _wrapped(words)
    short = len(lines) <= _LINES and all(len(line) <= _LINE for line in lines)
    return short and words[-1].end - words[0].start <= _LONGEST


def _wrapped(words: Sequence[Word]) -> tuple[str, ...]:
    text = " ".join(word.text for word in words)
    return tuple(wrap(text, _LINE, break_long_words=False, break_on_hyphens=False))


def text(transcript: Transcript) -> str:
    """The text and a newline."""
    return f"{transcript.transcription.text}\n"


def srt(transcript: Transcript) -> str:
    """SubRip: numbered cues, ``00:00:01,500 --> 00:00:03,000``. The format knows no escapes."""
    shown = enumerate(cues(transcript.words, transcript.seconds), 1)
    return "\n".join(f"{number}\n{_span(cue, ',')}\n{_joined(cue)}" for number, cue in shown)


def vtt(transcript: Transcript) -> str:
    """WebVTT (W3C): ``00:00:01.500 --> 00:00:03.000``; ``&``, ``<`` and ``>`` are escaped."""
    shown = cues(transcript.words, transcript.seconds)
    return "\n".join(["WEBVTT\n", *(f"{_span(cue, '.')}\n{html.escape(_joined(cue), quote=False)}" for cue in shown)])


def json(transcript: Transcript) -> str:
    """The JSON object of `Transcript.to_json`."""
    return to_json_text(transcript.to_json())


def ctm(transcript: Transcript) -> str:
    """NIST's time-marked conversation file (SCTK): file, channel, start, duration, word, confidence.

    The file is the name without folder and suffix, with ``_`` for white space; the channel is always 1.
    """
    name = ctm_name(transcript.file)
    return "".join(
        f"{name} 1 {word.start:.3f} {word.end - word.start:.3f} {word.text} {word.confidence:.4f}\n"
        for word in transcript.words
    )


def ctm_name(file: Path) -> str:
    """What a CTM file calls a sound file."""
    return re.sub(r"\s+", "_", readable(file.stem))


def readable(name: str | Path) -> str:
    """A file's name as UTF-8 can hold it: bytes of it that are no text are escaped."""
    return str(name).encode("utf-8", "backslashreplace").decode()


FORMATS: Final[Mapping[str, Callable[[Transcript], str]]] = {
    "text": text,
    "srt": srt,
    "vtt": vtt,
    "json": json,
    "ctm": ctm,
}


def _joined(cue: Cue) -> str:
    return "".join(f"{line}\n" for line in cue.lines)


def _span(cue: Cue, separator: str) -> str:
    return f"{_clock(cue.start, separator)} --> {_clock(cue.end, separator)}"


def _clock(milliseconds: int, separator: str) -> str:
    seconds, rest = divmod(milliseconds, 1000)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours:02}:{minutes:02}:{seconds:02}{separator}{rest:03}"
