"""What scoring returns. All rates are in percent."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

from inferry.core.errors import RunError
from inferry.core.scores import Rate


class Utterance(NamedTuple):
    """What was said and what was recognised.

    Attributes:
        id: Unique within the data set.
        reference: What a person says was said.
        hypothesis: What the model wrote.
    """

    id: str
    reference: str
    hypothesis: str


@dataclass(frozen=True, slots=True)
class ErrorRate:
    """One pooled rate: all edits over all reference units, not a mean of rates per utterance.

    Attributes:
        name: ``wer``, ``cer`` or ``cer_without_spaces``.
        rate: Percent; above 100 where insertions abound; None where there is no reference unit (see `reason`).
        edits: Substitutions, deletions and insertions together: the sum of the Levenshtein distances.
        substitutions: Of one least-cost alignment. Where several exist the split may differ from another tool's; the
            number of edits cannot.
        deletions: Likewise: units of the reference that are missing.
        insertions: Likewise: units that the reference does not have.
        reference_units: Words or characters in all references.
        utterances: Scored, those with an empty reference included.
        low: Percent, lower end of the 95 % bootstrap interval over utterances; None as for `rate`.
        high: Percent, its upper end.
        signature: How the number was made.
        reason: Why `rate` is None; empty otherwise.
    """

    name: str
    rate: float | None
    edits: int
    substitutions: int
    deletions: int
    insertions: int
    reference_units: int
    utterances: int
    low: float | None
    high: float | None
    signature: str
    reason: str = ""

    @property
    def counted(self) -> str:
        """What is behind the rate."""
        return (
            f"{self.edits:,} edits of {self.reference_units:,}: {self.substitutions:,} substituted, "
            f"{self.deletions:,} missing, {self.insertions:,} inserted"
        )

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` inverts it."""
        return {**asdict(self), "unit": "percent"}

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "ErrorRate":
        """Inverse of `to_json`.

        Raises:
            RunError: A field is missing.
        """
        return cls(**_fields(row, cls.__slots__, "error rate"))


@dataclass(frozen=True, slots=True)
class UtteranceErrors:
    """Counts of one utterance.

    Attributes:
        id: Of the utterance.
        word_edits: Word substitutions, deletions and insertions.
        words: In the reference.
        character_edits: Spaces count as characters.
        characters: In the reference, spaces included.
        character_edits_without_spaces: Spaces of both sides removed first.
        characters_without_spaces: In the reference.
        exact: Whether the (normalised) texts are equal, character by character.
    """

    id: str
    word_edits: int
    words: int
    character_edits: int
    characters: int
    character_edits_without_spaces: int
    characters_without_spaces: int
    exact: bool

    def to_json(self) -> dict[str, Any]:
        """A JSON object; `from_json` inverts it."""
        return asdict(self)

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "UtteranceErrors":
        """Inverse of `to_json`.

        Raises:
            RunError: A field is missing.
        """
        return cls(**_fields(row, cls.__slots__, "utterance"))


@dataclass(frozen=True, slots=True)
class SpeechScore:
    """How well transcripts match their references.

    Attributes:
        wer: Word error rate; words are what `str.split` gives.
        cer: Character error rate, spaces counted as characters.
        cer_without_spaces: Character error rate with the spaces of both sides removed: the CER of deepspeech.pytorch.
        exact_matches: Utterances whose text is right to the last character.
        normalisation: Done to both sides before comparing: ``none`` or ``upper``.
        rows: One per utterance, in the order in which they came.
    """

    wer: ErrorRate
    cer: ErrorRate
    cer_without_spaces: ErrorRate
    exact_matches: int
    normalisation: str
    rows: tuple[UtteranceErrors, ...] = ()

    @property
    def rates(self) -> tuple[Rate, ...]:
        """Words, characters, and characters without spaces."""
        return tuple(
            Rate(name, one.rate, one.low, one.high, one.counted, one.signature)
            for name, one in (("WER", self.wer), ("CER", self.cer), ("CER without spaces", self.cer_without_spaces))
        )

    @property
    def scored(self) -> int:
        """Utterances that were scored."""
        return self.wer.utterances

    @property
    def exact(self) -> int:
        """Utterances whose text is right to the last character."""
        return self.exact_matches

    @property
    def remarks(self) -> tuple[str, ...]:
        """The character accuracy under the names that older recipes give it."""
        accuracy = self.character_accuracy
        if accuracy is None:
            return ()
        return (f"character accuracy {accuracy:.2f} % (what older recipes print as wer or Acc)",)

    @property
    def character_accuracy(self) -> float | None:
        """100 - `cer`, in percent; negative where insertions abound.

        The wav2vec2 recipe of Ascend ModelZoo prints this as ``wer`` or ``Acc`` although it is neither.
        """
        return _accuracy(self.cer)

    @property
    def character_accuracy_without_spaces(self) -> float | None:
        """100 - `cer_without_spaces`, in percent.

        The data2vec-audio recipe of Ascend ModelZoo prints this as ``Acc``.
        """
        return _accuracy(self.cer_without_spaces)

    @property
    def signature(self) -> str:
        """How the word error rate was made; the other rates carry their own."""
        return self.wer.signature

    def worst(self, count: int) -> tuple[UtteranceErrors, ...]:
        """Up to `count` rows with errors, those with the most word edits first (then character edits, then order)."""
        wrong = [row for row in self.rows if row.word_edits or row.character_edits]
        return tuple(sorted(wrong, key=lambda row: (-row.word_edits, -row.character_edits))[:count])

    def to_json(self, *, rows: bool = True) -> dict[str, Any]:
        """A JSON object; `from_json` inverts it.

        Args:
            rows: Whether to include the counts of each utterance.
        """
        value: dict[str, Any] = {
            "unit": "percent",
            "normalisation": self.normalisation,
            "wer": self.wer.to_json(),
            "cer": self.cer.to_json(),
            "cer_without_spaces": self.cer_without_spaces.to_json(),
            "character_accuracy": self.character_accuracy,
            "character_accuracy_without_spaces": self.character_accuracy_without_spaces,
            "exact_matches": self.exact_matches,
        }
        if rows:
            value["rows"] = [row.to_json() for row in self.rows]
        return value

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "SpeechScore":
        """Inverse of `to_json`; without rows the score has none.

        Raises:
            RunError: A field is missing.
        """
        names = ("wer", "cer", "cer_without_spaces", "exact_matches", "normalisation")
        fields = _fields(value, names, "speech score")
        for name in names[:3]:
            fields[name] = ErrorRate.from_json(fields[name])
        return cls(**fields, rows=tuple(map(UtteranceErrors.from_json, value.get("rows", ()))))


def _fields(row: Mapping[str, Any], names: tuple[str, ...], what: str) -> dict[str, Any]:
    """The named fields of a JSON object, all of which must be there."""
    missing: list[str] = [name for name in names if name not in row]
    if missing:
        raise RunError(f"this {what} lacks {', '.join(missing)}; found {', '.join(row) or 'nothing'}. Evaluate again")
    return {name: row[name] for name in names}


def _accuracy(error: ErrorRate) -> float | None:
    return None if error.rate is None else 100.0 - error.rate
