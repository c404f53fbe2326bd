"""The two JSON files of VQA v2 (Goyal et al., arXiv:1612.00837), as visualqa.org describes them."""

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inferry.core.errors import DatasetError


@dataclass(frozen=True, slots=True)
class Asked:
    """One question.

    Attributes:
        id: Unique among the questions.
        image: Id of the picture.
        text: The question.
    """

    id: str
    image: int
    text: str

    @classmethod
    def from_json(cls, entry: object) -> "Asked":
        """From ``{"image_id": …, "question": …, "question_id": …}``.

        Raises:
            ValueError: What is wrong with it.
        """
        row = _object(entry, ("question_id", "image_id", "question"))
        image, text = row["image_id"], row["question"]
        if isinstance(image, bool) or not isinstance(image, int) or image < 0:
            raise ValueError(f"image_id must be a whole number from 0 on, not {_shown(image)}")
        if not _are_texts([text]) or not text.strip():
            raise ValueError(f"question must be a text, not {_shown(text)}")
        return cls(question_id(row), image, text)


@dataclass(frozen=True, slots=True)
class Annotations:
    """What people answered.

    Attributes:
        path: The file.
        by_question: Entries by the id of their question, the first of each.
        twice: Ids of questions that have more than one.
        bad: Entries that belong to no question: their place in the file and what is wrong with them.
    """

    path: Path
    by_question: Mapping[str, Mapping[str, Any]]
    twice: frozenset[str]
    bad: tuple[tuple[int, str], ...]

    def answers(self, asked: Asked) -> tuple[str, ...]:
        """The answers of all people to a question, in the order of the file.

        Raises:
            ValueError: There are none, they are no texts, or they are about another picture.
        """
        entry = self.by_question.get(asked.id)
        if entry is None:
            raise ValueError(f"{self.path.name} has no answers to it")
        if asked.id in self.twice:
            raise ValueError(f"{self.path.name} has more than one annotation of it")
        image = entry.get("image_id", asked.image)
        if image != asked.image:
            raise ValueError(f"it is about picture {asked.image}, its annotation about picture {_shown(image)}")
        answers = entry["answers"]
        if not isinstance(answers, list) or not answers or not _are_texts(answers):
            raise ValueError(f'{self.path.name} has no list of {{"answer": …}} for it')
        return tuple(answers)


def read_questions(path: Path) -> list[Any]:
    """All entries, not yet checked.

    Raises:
        DatasetError: The file is broken; with the place where.
    """
    return _read(path, "questions")


def read_annotations(path: Path) -> Annotations:
    """All annotations.

    Raises:
        DatasetError: The file is broken; with the place where.
    """
    found: dict[str, Mapping[str, Any]] = {}
    twice, bad = set(), []
    for index, entry in enumerate(_read(path, "annotations")):
        try:
            key = question_id(_object(entry, ("question_id", "answers")))
        except ValueError as error:
            bad.append((index, str(error)))
            continue
        if found.setdefault(key, entry) is not entry:
            twice.add(key)
    return Annotations(path, found, frozenset(twice), tuple(bad))


def question_id(entry: object) -> str:
    """Of a question or of an annotation.

    Raises:
        ValueError: It has none.
    """
    key = entry.get("question_id") if isinstance(entry, dict) else None
    if isinstance(key, bool) or not isinstance(key, int | str) or not str(key).strip():
        raise ValueError(f"question_id must be a whole number or a text, not {_shown(key)}")
    return str(key)


def _read(path: Path, key: str) -> list[Any]:
    expected = f'Expected {{"{key}": [{{"question_id": …}}, …]}}, as visualqa.org has it'
    try:
        content = json.loads(path.read_bytes(), object_hook=_only_the_answer)
    except (OSError, ValueError, RecursionError) as error:
        raise DatasetError(f"{path} is no valid JSON: {error}. {expected}") from error
    entries = content.get(key) if isinstance(content, dict) else None
    if not isinstance(entries, list):
        found = ", ".join(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise DatasetError(f"{path} has no list of {key}, found: {found[:80]}. {expected}")
    return entries


def _only_the_answer(row: dict[str, Any]) -> object:
    """``{"answer": "red", "answer_confidence": …}`` as ``"red"``: there are two million, and this halves the memory."""
    answer = row.get("answer")
    return sys.intern(answer) if type(answer) is str and "question_id" not in row else row


def _object(entry: object, keys: tuple[str, ...]) -> dict[str, Any]:
    if not isinstance(entry, dict):
        raise ValueError(f"expected an object, found {_shown(entry)}")  # noqa: TRY004 -- one type for the caller
    if missing := [key for key in keys if key not in entry]:
        raise ValueError(f"{' and '.join(missing)} missing; found the keys: {', '.join(entry) or 'none'}")
    return entry


def _are_texts(values: list[Any]) -> bool:
    """Whether these are texts that can be written again: JSON may hold half of a surrogate pair."""
    try:
        together = "".join(values)
        return together.isascii() or bool(together.encode())
    except (TypeError, UnicodeEncodeError):
        return False


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
