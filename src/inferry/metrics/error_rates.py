"""Pooled word and character error rates of transcripts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

import numpy as np
import rapidfuzz
from rapidfuzz.distance import Levenshtein

from inferry.metrics.bootstrap import RESAMPLES, Interval, bootstrap_intervals
from inferry.metrics.normalisation import normalisation as normalisation_named
from inferry.metrics.scores import ErrorRate, SpeechScore, Utterance, UtteranceErrors


@dataclass(slots=True)
class _Tally:
    """Running totals of one rate."""

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    units: int = 0

    def add(self, reference: Sequence[str], hypothesis: Sequence[str]) -> int:
        """Count one utterance; returns its edits."""
        self.units += len(reference)
        if reference == hypothesis:
            return 0
        tags = [edit.tag for edit in Levenshtein.editops(reference, hypothesis)]
        self.substitutions += tags.count("replace")
        self.deletions += tags.count("delete")
        self.insertions += tags.count("insert")
        return len(tags)


def score_speech(
    utterances: Iterable[Utterance], *, normalisation: str = "none", resamples: int = RESAMPLES, seed: int = 0
) -> SpeechScore:
    """Word and character error rates over a data set, in percent, pooled, with 95 % bootstrap intervals.

    The utterances are read once and only their counts are kept, so they may come from a generator. An empty reference
    adds its hypothesis as insertions and no reference unit.

    Args:
        utterances: Any number.
        normalisation: What is done to both sides first; see `inferry.metrics.normalisation.NORMALISATIONS`.
        resamples: Of the bootstrap over utterances.
        seed: Of the bootstrap.

    Raises:
        UsageError: An unknown normalisation, fewer than one resample, or a negative seed.
    """
    normalise = normalisation_named(normalisation)
    tallies = (_Tally(), _Tally(), _Tally())
    rows = tuple(
        _score_utterance(id_, normalise(reference), normalise(hypothesis), tallies)
        for id_, reference, hypothesis in utterances
    )
    table = np.array([_counts(row) for row in rows], np.int64).reshape(len(rows), 2, len(tallies))
    intervals = bootstrap_intervals(table[:, 0], table[:, 1], resamples, seed)
    made = f"case:{'mixed' if normalisation == 'none' else normalisation}|norm:{normalisation}|pooled"
    made += f"|bootstrap:{resamples},seed:{seed}|rapidfuzz:{rapidfuzz.__version__}|inferry:{version('inferry')}"
    names = (("wer", "wer"), ("cer", "cer|spaces:kept"), ("cer_without_spaces", "cer|spaces:dropped"))
    wer, cer, cer_without_spaces = (
        _rate(name, f"{head}|{made}", tally, interval, len(rows))
        for (name, head), tally, interval in zip(names, tallies, intervals, strict=True)
    )
    return SpeechScore(wer, cer, cer_without_spaces, sum(row.exact for row in rows), normalisation, rows)


def _score_utterance(
    id_: str, reference: str, hypothesis: str, tallies: tuple[_Tally, _Tally, _Tally]
) -> UtteranceErrors:
    """Count one utterance in all three ways."""
    words, characters, bare = tallies
    reference_words = reference.split()
    # Only U+0020 goes, as in deepspeech.pytorch's CharErrorRate.
    bare_reference = reference.replace(" ", "")
    return UtteranceErrors(
        id=id_,
        word_edits=words.add(reference_words, hypothesis.split()),
        words=len(reference_words),
        character_edits=characters.add(reference, hypothesis),
        characters=len(reference),
        character_edits_without_spaces=bare.add(bare_reference, hypothesis.replace(" ", "")),
        characters_without_spaces=len(bare_reference),
        exact=reference == hypothesis,
    )


def _counts(row: UtteranceErrors) -> tuple[int, ...]:
    """Edits, then reference units, of the three rates."""
    edits = (row.word_edits, row.character_edits, row.character_edits_without_spaces)
    return (*edits, row.words, row.characters, row.characters_without_spaces)


def _rate(name: str, signature: str, tally: _Tally, interval: Interval | None, utterances: int) -> ErrorRate:
    """Totals and interval, in percent."""
    edits = tally.substitutions + tally.deletions + tally.insertions
    reason = "" if tally.units else f"no reference text in {utterances} utterances: nothing to divide {edits} edits by"
    return ErrorRate(
        name=name,
        rate=100.0 * edits / tally.units if tally.units else None,
        edits=edits,
        substitutions=tally.substitutions,
        deletions=tally.deletions,
        insertions=tally.insertions,
        reference_units=tally.units,
        utterances=utterances,
        low=None if interval is None else 100.0 * interval.low,
        high=None if interval is None else 100.0 * interval.high,
        signature=signature,
        reason=reason,
    )
