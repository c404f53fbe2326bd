"""Questions and ready-made regions to the inputs of the network."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from tokenizers import Tokenizer

from inferry.core.errors import BundleError, SampleError
from inferry.core.samples import Features, Question, Regions
from inferry.core.specs import Array

_MISSING: Final = "a question needs a text or token_ids"


@dataclass(frozen=True, slots=True, eq=False)
class Tokens:
    """A question as numbers.

    Attributes:
        ids: ``(tokens,)`` int64, special tokens included.
        types: ``(tokens,)`` int64.
    """

    ids: Array
    types: Array


class QuestionTokenizer:
    """``[CLS] question [SEP]`` in WordPieces (Devlin et al., arXiv:1810.04805), as transformers' BertTokenizer has it.

    Args:
        text: The content of tokenizer.json.
        max_tokens: Positions that the network knows; the original fails beyond them, here the question is refused.

    Raises:
        BundleError: It is no tokenizer.
    """

    def __init__(self, text: str, max_tokens: int) -> None:
        try:
            self._tokenizer = Tokenizer.from_str(text)
        except Exception as error:  # the package raises bare Exception
            raise BundleError(f"tokenizer.json cannot be read ({error}): export the bundle again") from error
        self._max_tokens = max_tokens

    def encode(self, question: Question) -> Tokens:
        """The tokens of a question, from its text or as it brings them.

        Raises:
            SampleError: It has neither text nor tokens, or more of them than the network takes, or others.
        """
        if question.token_ids is not None:
            tokens = _given(question.token_ids, question.type_ids, self._tokenizer.get_vocab_size())
        elif question.text is not None and not isinstance(question.text, str):
            raise SampleError("process", f"the text of a question is a str, not {type(question.text).__name__}")
        elif question.text is None or not question.text.strip():
            raise SampleError("process", _MISSING)
        else:
            ids = np.array(self._tokenizer.encode(question.text).ids, np.int64)
            tokens = Tokens(ids, np.zeros_like(ids))
        if len(tokens.ids) > self._max_tokens:
            raise SampleError(
                "process", f"the question has {len(tokens.ids)} tokens; the network takes at most {self._max_tokens}"
            )
        return tokens


def _given(ids: Array, types: Array | None, size: int) -> Tokens:
    """Tokens that the user brings, checked."""
    ids = np.asarray(ids)
    types = np.zeros(ids.shape, np.int64) if types is None else np.asarray(types)
    for name, array in (("token_ids", ids), ("type_ids", types)):
        if array.ndim != 1 or not array.size or array.dtype.kind not in "iu":
            raise SampleError(
                "process", f"{name} have shape {array.shape} and dtype {array.dtype}; expected a row of integers"
            )
    if types.shape != ids.shape:
        raise SampleError("process", f"type_ids have shape {types.shape}; expected that of token_ids, {ids.shape}")
    if ids.min() < 0 or ids.max() >= size:
        raise SampleError(
            "process", f"token_ids reach from {ids.min()} to {ids.max()}; the tokenizer has {size} tokens"
        )
    if types.min() < 0 or types.max() > 1:
        raise SampleError("process", f"type_ids reach from {types.min()} to {types.max()}; expected 0 or 1")
    return Tokens(ids.astype(np.int64), types.astype(np.int64))


def region_inputs(regions: Regions, feature_size: int) -> dict[str, Array]:
    """``box_features``, ``box_coordinates`` and ``box_mask`` of one picture.

    A picture without any region gets one box of zeros that is not valid: the original then attends to its boxes alike,
    and all its padding is zero as well, so that the answer does not depend on the batch.

    Args:
        regions: Of the picture.
        feature_size: Numbers per region that the network takes.

    Raises:
        SampleError: The arrays do not fit together or hold numbers that are not finite.
    """
    features = np.asarray(regions.box_features)
    coordinates = np.asarray(regions.box_coordinates)
    if features.ndim != 2:  # how many boxes there are is then not known, so the others cannot be judged
        raise SampleError("process", f"box_features has shape {features.shape}, expected (boxes, {feature_size})")
    boxes = len(features)
    mask = np.ones(boxes, bool) if regions.box_mask is None else np.asarray(regions.box_mask)
    problems = [
        f"{name} has shape {array.shape}, expected {shape}"
        for name, array, shape in (
            ("box_features", features, (boxes, feature_size)),
            ("box_coordinates", coordinates, (boxes, 4)),
            ("box_mask", mask, (boxes,)),
        )
        if array.shape != shape
    ]
    problems += _problems_of_values({"box_features": features, "box_coordinates": coordinates, "box_mask": mask})
    if problems:
        raise SampleError("process", "; ".join(problems))
    valid = mask.astype(bool)
    if not valid.any():
        empty = np.zeros((1, feature_size), np.float32), np.zeros((1, 4), np.float32)
        return {"box_features": empty[0], "box_coordinates": empty[1], "box_mask": np.zeros(1, bool)}
    return {
        "box_features": features.astype(np.float32),
        "box_coordinates": coordinates.astype(np.float32),
        "box_mask": valid,
    }


def _problems_of_values(arrays: Mapping[str, Array]) -> list[str]:
    """Of arrays that the network reads as float32, the mask as true and false."""
    problems = []
    for name, array in arrays.items():
        if array.dtype.kind not in "biuf":
            problems.append(f"{name} holds {array.dtype}, expected numbers")
        elif not (np.abs(array) <= np.finfo(np.float32).max).all():  # NaN is not either
            problems.append(f"{name} holds numbers that are not finite in float32")
        elif name == "box_mask" and not np.isin(array, (0, 1)).all():
            problems.append(f"{name} holds other numbers than 0 and 1")
    return problems


@dataclass(frozen=True, slots=True)
class QuestionSettings:
    """What a network takes, from processor.json.

    Attributes:
        feature_size: Numbers per region.
        max_tokens: Positions of the question.
    """

    feature_size: int
    max_tokens: int

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> "QuestionSettings":
        """From the section ``input`` of processor.json.

        Raises:
            BundleError: It is of another kind, or a field is missing.
        """
        if row.get("kind") != "question-and-regions":
            raise BundleError(f"processor.json has inputs of kind {row.get('kind')!r}, expected 'question-and-regions'")
        try:
            return cls(int(row["feature_size"]), int(row["max_tokens"]))
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(f"processor.json is broken ({type(error).__name__}: {error})") from error


def question_features(tokens: Tokens, regions: Regions, settings: QuestionSettings) -> Features:
    """All inputs of the network for one question about one picture; `Features.length` is the number of boxes.

    Raises:
        SampleError: The regions cannot be used.
    """
    inputs = region_inputs(regions, settings.feature_size)
    inputs |= {"token_ids": tokens.ids, "mask": np.ones(len(tokens.ids), bool), "type_ids": tokens.types}
    return Features(inputs, len(inputs["box_mask"]))
