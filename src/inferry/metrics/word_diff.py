"""Where two transcripts differ, word by word."""

from dataclasses import dataclass

from rapidfuzz.distance import Levenshtein


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of an alignment.

    Attributes:
        reference: Its words in the reference, with one space between them; empty where words were inserted.
        hypothesis: Its words in the hypothesis; equal to `reference` where both agree, empty where words are missing.
    """

    reference: str
    hypothesis: str


@dataclass(frozen=True, slots=True)
class WordDiff:
    """A least-cost alignment of two transcripts.

    Attributes:
        spans: In order; stretches that agree and stretches that differ take turns.
        edits: Words substituted, deleted and inserted: what the word error rate counts.
        words: In the reference.
    """

    spans: tuple[Span, ...]
    edits: int
    words: int


def word_diff(reference: str, hypothesis: str) -> WordDiff:
    """Align two transcripts by words (what `str.split` gives), with the fewest edits.

    Neighbouring edits make one span: which of several equally good alignments is found says nothing about the sound.

    Args:
        reference: What a person says was said.
        hypothesis: What the model wrote.
    """
    said, heard = reference.split(), hypothesis.split()
    edits, changed = 0, False
    spans: list[Span] = []
    for code in Levenshtein.opcodes(said, heard):
        left = " ".join(said[code.src_start : code.src_end])
        right = " ".join(heard[code.dest_start : code.dest_end])
        if code.tag == "equal":
            spans.append(Span(left, right))
        elif changed:
            before = spans.pop()
            spans.append(Span(_join(before.reference, left), _join(before.hypothesis, right)))
        else:
            spans.append(Span(left, right))
        changed = code.tag != "equal"
        if changed:
            edits += max(code.src_end - code.src_start, code.dest_end - code.dest_start)
    return WordDiff(tuple(spans), edits, len(said))


def _join(left: str, right: str) -> str:
    return f"{left} {right}".strip()
