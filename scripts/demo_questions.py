"""Questions about drawn scenes, their answers, and ten people who do not always agree (VQA v2, arXiv:1612.00837)."""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from demo_scenes import COLOURS, SHAPES, Scene, Shape

from inferry.processing.answers import normalise_answer

ANSWERS = ("yes", "no", "0", "1", "2", "3", "4", *COLOURS, *SHAPES, "nothing")
"""All that the network can answer."""

PEOPLE = 10
_LEAST_SHIFT = 12.0
"""Pixels by which two centres must differ before one thing counts as left of or above another one."""

_SIMILAR = {
    "red": ("orange", "crimson"),
    "green": ("blue", "lime"),
    "blue": ("purple", "navy"),
    "yellow": ("orange", "gold"),
    "orange": ("yellow", "red"),
    "purple": ("blue", "violet"),
    "circle": ("ball", "disc"),
    "square": ("box", "diamond"),
    "triangle": ("star", "pyramid"),
    "star": ("triangle", "asterisk"),
    "nothing": ("background", "circle"),
}
_NUMBERS = ("zero", "one", "two", "three", "four")


@dataclass(frozen=True)
class Asked:
    """A question about a scene.

    Attributes:
        text: Of the question.
        answer: The true one.
        kind: Of the question: ``what color``, ``what shape``, ``how many``, ``is there``, ``where`` or ``is``.
    """

    text: str
    answer: str
    kind: str

    @property
    def answer_type(self) -> str:
        """As VQA v2 names it."""
        if self.answer in ("yes", "no"):
            return "yes/no"
        return "number" if self.answer.isdigit() else "other"


def ask(scene: Scene, rng: np.random.Generator) -> Iterator[Asked]:
    """Endless questions about a scene, of all kinds equally often; a question may come twice."""
    makers = (_colour, _shape, _count, _exists, _where, _relation)
    while True:
        for maker in rng.permutation(np.array(makers, dtype=object)):
            asked = maker(scene, rng)
            if asked is not None:
                yield asked


def different(scene: Scene, rng: np.random.Generator, count: int) -> list[Asked]:
    """So many questions about a scene, no two alike."""
    found: dict[str, Asked] = {}
    for asked in ask(scene, rng):
        if len(found) == count:
            break
        found.setdefault(asked.text, asked)
    return list(found.values())


def people(asked: Asked, rng: np.random.Generator) -> list[str]:
    """Ten answers. Mostly nearly all are the true one; one question in eight is hard, and most people err."""
    share = rng.choice((0.02, 0.25, 0.8), p=(0.7, 0.175, 0.125))
    return [_wrong(asked, rng) if rng.random() < share else _spelled(asked.answer, rng) for _ in range(PEOPLE)]


def most_common(answers: list[str]) -> str:
    """What most people said, however they wrote it; of equally many, what was said first."""
    return Counter(map(normalise_answer, answers)).most_common(1)[0][0]


def _wrong(asked: Asked, rng: np.random.Generator) -> str:
    if asked.answer_type == "yes/no":
        return "no" if asked.answer == "yes" else "yes"
    if asked.answer_type == "number":
        return str(max(0, int(asked.answer) + int(rng.choice((-1, 1, 2)))))
    return str(rng.choice(_SIMILAR[asked.answer]))


def _spelled(answer: str, rng: np.random.Generator) -> str:
    """Some people write numbers as words."""
    return _NUMBERS[int(answer)] if answer.isdigit() and rng.random() < 0.3 else answer


def _pick(rng: np.random.Generator, *texts: str) -> str:
    return str(rng.choice(texts))


def _colour(scene: Scene, rng: np.random.Generator) -> Asked | None:
    only = [shape for shape in scene.shapes if sum(other.form == shape.form for other in scene.shapes) == 1]
    if not only:
        return None
    shape = only[rng.integers(len(only))]
    text = _pick(rng, f"what color is the {shape.form}?", f"what colour is the {shape.form}?")
    return Asked(text, shape.colour, "what color")


def _shape(scene: Scene, rng: np.random.Generator) -> Asked | None:
    only = [shape for shape in scene.shapes if sum(other.colour == shape.colour for other in scene.shapes) == 1]
    if not only:
        return None
    shape = only[rng.integers(len(only))]
    return Asked(_pick(rng, f"what shape is {shape.colour}?", f"what is {shape.colour}?"), shape.form, "what shape")


def _count(scene: Scene, rng: np.random.Generator) -> Asked:
    form, colour = _likely(scene, rng)
    matches: tuple[tuple[str, Callable[[Shape], bool]], ...] = (
        ("shapes", lambda _: True),
        (f"{form}s", lambda shape: shape.form == form),
        (f"{colour} shapes", lambda shape: shape.colour == colour),
    )
    noun, match = matches[rng.integers(3)]
    return Asked(f"how many {noun} are there?", str(sum(map(match, scene.shapes))), "how many")


def _exists(scene: Scene, rng: np.random.Generator) -> Asked:
    form, colour = _likely(scene, rng)
    matches: tuple[tuple[str, Callable[[Shape], bool]], ...] = (
        (f"{colour} {form}", lambda shape: (shape.form, shape.colour) == (form, colour)),
        (form, lambda shape: shape.form == form),
        (f"{colour} shape", lambda shape: shape.colour == colour),
    )
    noun, match = matches[rng.integers(3)]
    article = "an" if noun.startswith("orange") else "a"
    return Asked(f"is there {article} {noun}?", "yes" if any(map(match, scene.shapes)) else "no", "is there")


def _likely(scene: Scene, rng: np.random.Generator) -> tuple[str, str]:
    """A form and a colour: those of one thing in the scene, or one or both of them by chance."""
    shape = scene.shapes[rng.integers(len(scene.shapes))]
    form = shape.form if rng.random() < 0.55 else str(rng.choice(SHAPES))
    return form, shape.colour if rng.random() < 0.55 else str(rng.choice(list(COLOURS)))


def _where(scene: Scene, rng: np.random.Generator) -> Asked | None:
    """What lies on one side of a thing; asked only where nothing is in doubt."""
    shape = scene.shapes[rng.integers(len(scene.shapes))]
    side = _pick(rng, "left of", "right of", "above", "below")
    shifts = [_shift(other, shape, side) for other in scene.shapes if other is not shape]
    beyond = [other for other in scene.shapes if other is not shape and _shift(other, shape, side) > 0]
    doubtful = any(abs(shift) < _LEAST_SHIFT for shift in shifts)
    alone = sum(other.form == shape.form for other in scene.shapes) == 1
    if doubtful or not alone or len(beyond) > 1:
        return None
    return Asked(f"what is {side} the {shape.form}?", beyond[0].form if beyond else "nothing", "where")


def _relation(scene: Scene, rng: np.random.Generator) -> Asked | None:
    if len(scene.shapes) < 2:
        return None
    one, other = (scene.shapes[index] for index in rng.permutation(len(scene.shapes))[:2])
    forms = [shape.form for shape in scene.shapes]
    side = _pick(rng, "left of", "right of", "above", "below")
    shift = _shift(one, other, side)
    if forms.count(one.form) > 1 or forms.count(other.form) > 1 or abs(shift) < _LEAST_SHIFT:
        return None
    return Asked(f"is the {one.form} {side} the {other.form}?", "yes" if shift > 0 else "no", "is")


def _shift(one: Shape, other: Shape, side: str) -> float:
    """How far `one` lies on that side of `other`, in pixels."""
    return {"left of": other.x - one.x, "right of": one.x - other.x, "above": other.y - one.y}.get(
        side, one.y - other.y
    )
