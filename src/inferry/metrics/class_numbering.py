"""Labels that count the classes in another way than the network: seen from the answers alone.

ImageNet's classes have two numberings, 0 to 999 in order of WordNet ids and 1 to 1000 in the development kit. With the
wrong one the accuracy is that of chance, yet pictures of one class still get one answer. That is looked for.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from math import sqrt
from typing import Final

from inferry.metrics.classification_scores import MixUp

_LEAST_HITS: Final = 10
"""Fewer pictures that a translation makes right are accident: neighbours in ImageNet look alike."""

_LEAST_RATE: Final = 0.2
"""A translation that leaves four of five pictures wrong explains little."""

_TIMES: Final = 4
"""How many times more pictures must be right with the translation than without it."""

_Pictures = Sequence[tuple[int, int]]


def find_mix_up(pictures: _Pictures, classes: int) -> MixUp | None:
    """The translation of the labels that explains an accuracy near chance, None where there is none.

    A permutation is judged on pictures that did not make it: it is made from every other picture of each label and
    tried on the rest, and the other way round. So a set with one picture a class can show a shift, but no permutation.

    Args:
        pictures: Label and best class of each picture that has one label; a label may be none of the network's.
        classes: How many the network has.
    """
    count = len(pictures)
    if count < _LEAST_HITS or classes < 2:
        return None
    rate, chance = sum(label == best for label, best in pictures) / count, 1 / classes
    # Three standard deviations, and two pictures of a hundred: some classes are the same in both numberings.
    if rate > chance + 3 * sqrt(chance * (1 - chance) / count) + 0.02:
        return None
    needed = max(_LEAST_RATE, _TIMES * rate, min(_TIMES * chance, (1 + chance) / 2), _LEAST_HITS / count)
    found = f"{100 * rate:.1f} % are right, near chance, but"
    for offset, counted in ((-1, "from 1 on, the network from 0"), (1, "one lower than the network")):
        shifted = sum(label + offset == best for label, best in pictures) / count
        if shifted >= needed:
            reason = (
                f"{found} {100 * shifted:.1f} % would be with {offset:+d} added to every label: they count {counted}"
            )
            return MixUp("shift", offset, 100 * shifted, reason)
    permuted = _permuted(pictures) / count
    if permuted < needed:
        return None
    reason = (
        f"{found} {100 * permuted:.1f} % would be with other numbers for the same labels: they count the classes in "
        f"another order than the network, as ImageNet's development kit does (its meta.mat translates them) and as "
        f"class folders do where some are missing or renamed"
    )
    return MixUp("permutation", 0, 100 * permuted, reason)


def _permuted(pictures: _Pictures) -> int:
    """Pictures that are right by the permutation that the other half of them makes."""
    places: Counter[int] = Counter()
    halves: tuple[list[tuple[int, int]], list[tuple[int, int]]] = ([], [])
    for label, best in pictures:
        halves[places[label] % 2].append((label, best))
        places[label] += 1
    even, odd = (_permutation(half) for half in halves)
    return sum(odd.get(label) == best for label, best in halves[0]) + sum(
        even.get(label) == best for label, best in halves[1]
    )


def _permutation(pictures: _Pictures) -> dict[int, int]:
    """From each label to its most frequent answer; of several labels with one answer the most frequent one has it."""
    answers: dict[int, Counter[int]] = defaultdict(Counter)
    for label, best in pictures:
        answers[label][best] += 1
    claims = [(counts.most_common(1)[0][1], label, counts.most_common(1)[0][0]) for label, counts in answers.items()]
    owners = {best: label for _, label, best in sorted(claims)}
    return {label: best for best, label in owners.items()}
