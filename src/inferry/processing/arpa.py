"""N-gram language models in ARPA files, plain or compressed with gzip.

The format is Doug Paul's, as SRILM (``ngram-format(5)``), the CMU toolkit and KenLM's ``lmplz`` write it: log10
probabilities with back-off weights (Katz 1987).
"""

import gzip
import math
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from inferry.core.errors import UsageError

START: Final = "<s>"
END: Final = "</s>"
UNKNOWN: Final = "<unk>"
_UNKNOWN_SPELLINGS: Final = {b"<unk>", b"<UNK>"}  # the two that KenLM reads
_KENLM_BINARY: Final = b"mmap lm http://kheafield.com/code format version"
_GZIP: Final = b"\x1f\x8b"
_LEAST: Final = -99.0
"""SRILM's log10 of 0; some tools write -inf, which a weight of 0 would make no number."""
_COUNT: Final = re.compile(rb"ngram\s+(\d+)\s*=\s*(\d+)")


@dataclass(frozen=True)
class NgramModel:
    """A back-off language model.

    Attributes:
        order: Words of the longest n-gram.
        probabilities: log10, by the n-gram's words joined by single spaces.
        backoffs: log10, likewise, where it is not 0.
    """

    order: int
    probabilities: dict[str, float]
    backoffs: dict[str, float]

    @property
    def words(self) -> Iterator[str]:
        """The vocabulary without ``<s>``, ``</s>`` and ``<unk>``."""
        return (key for key in self.probabilities if " " not in key and key not in {START, END, UNKNOWN})

    def log10(self, context: tuple[str, ...], word: str) -> float:
        """log10 of the probability of a word after others.

        Args:
            context: The words before it, nearest last; `START` at the beginning.
            word: In the vocabulary, `END` or `UNKNOWN`.

        Raises:
            KeyError: The word is not in the vocabulary.
        """
        context = context[max(0, len(context) - self.order + 1) :]
        backoff = 0.0
        for start in range(len(context)):
            known = self.probabilities.get(" ".join((*context[start:], word)))
            if known is not None:
                return backoff + known
            backoff += self.backoffs.get(" ".join(context[start:]), 0.0)
        return backoff + self.probabilities[word]

    def respelled(self, spell: Callable[[str], str]) -> "NgramModel":
        """The same model over words written otherwise; of n-grams that fall together the most probable one stays."""
        probabilities: dict[str, float] = {}
        backoffs: dict[str, float] = {}
        for key, value in self.probabilities.items():
            words = (word if word in {START, END, UNKNOWN} else spell(word) for word in key.split(" "))
            new = " ".join(words)
            if value > probabilities.get(new, float("-inf")):
                probabilities[new] = value
                backoffs[new] = self.backoffs.get(key, 0.0)
        return NgramModel(self.order, probabilities, {key: value for key, value in backoffs.items() if value})


def read_arpa(path: Path) -> NgramModel:
    """Read a language model.

    A file without ``<unk>`` gets one as probable as its least probable word.

    Args:
        path: An ARPA file, or one compressed with gzip.

    Raises:
        UsageError: There is no such file, it is no ARPA file, or it is broken; says the line.
    """
    try:
        with _opened(path) as file:
            return _read(_Lines(path, file))
    except (OSError, EOFError, zlib.error) as error:
        raise UsageError(f"the language model {path} cannot be read: {error}") from error


def _opened(path: Path) -> BinaryIO:
    with path.open("rb") as file:
        begin = file.read(len(_KENLM_BINARY))
    if begin == _KENLM_BINARY:
        raise UsageError(
            f"{path} is a KenLM binary file, which does not list its words; give the ARPA file that it was built from"
        )
    return gzip.open(path) if begin.startswith(_GZIP) else path.open("rb")  # type: ignore[return-value]  # reads alike


class _Lines:
    """The lines of a file that are not empty; knows where it is."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path = path
        self._lines = enumerate(file, 1)
        self._number = 0

    def next(self) -> bytes:
        for number, line in self._lines:
            self._number = number
            if stripped := line.strip():
                return stripped
        raise UsageError(f"{self._path} ends before \\end\\: it is no ARPA file, or it was cut off")

    def refuse(self, found: bytes, expected: str) -> UsageError:
        text = found[:80].decode(errors="replace")
        return UsageError(f"{self._path}, line {self._number}: found {text!r}; expected {expected}")


def _read(lines: _Lines) -> NgramModel:
    while lines.next() != b"\\data\\":
        pass
    counts: list[int] = []
    while match := _COUNT.fullmatch(line := lines.next()):
        if int(match[1]) != len(counts) + 1:
            raise lines.refuse(line, f"ngram {len(counts) + 1}=COUNT")
        counts.append(int(match[2]))
    model = NgramModel(len(counts), {}, {})
    for order, count in enumerate(counts, 1):
        if line != f"\\{order}-grams:".encode():
            raise lines.refuse(line, f"\\{order}-grams:")
        for _ in range(count):
            _add(model, order, lines)
        line = lines.next()
    if line != b"\\end\\" or END not in model.probabilities:
        raise lines.refuse(line, f"\\end\\ after the {sum(counts)} n-grams that \\data\\ counts, one of them {END}")
    known = (value for key, value in model.probabilities.items() if " " not in key and key != START)
    model.probabilities.setdefault(UNKNOWN, min(known))
    return model


def _add(model: NgramModel, order: int, lines: _Lines) -> None:
    """One line: log10 probability, words, and log10 back-off weight where it is not 0."""
    line = lines.next()
    fields = line.split()
    words = fields[1 : order + 1]
    try:
        key = b" ".join(UNKNOWN.encode() if word in _UNKNOWN_SPELLINGS else word for word in words).decode()
        probability = float(fields[0])
        probability = _LEAST if probability == -math.inf else probability
        (backoff,) = map(float, fields[order + 1 :] or [b"0"])
    except ValueError:
        key, probability, backoff = "", math.nan, math.nan
    if len(words) != order or not probability <= 0 or not math.isfinite(backoff) or key in model.probabilities:
        raise lines.refuse(line, f"a log10 probability, {order} words and perhaps a back-off weight, each n-gram once")
    model.probabilities[key] = probability
    if backoff:
        model.backoffs[key] = backoff
