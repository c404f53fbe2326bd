"""AllenNLP archives of VqaVilbert, both of its configuration types, checked completely and read into numpy."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from inferry.checkpoints.allennlp_archive import WEIGHTS, Archive, read_archive
from inferry.checkpoints.allennlp_config import architecture
from inferry.checkpoints.pickles import TensorRecord, UnsafePickleError
from inferry.checkpoints.tensor_checks import problems_of, to_float32
from inferry.checkpoints.torch_files import open_torch, state_dict_of
from inferry.checkpoints.vilbert_table import vilbert_table, without_effect
from inferry.checkpoints.wordpiece_tokenizer import TokenizerFile, make_tokenizer, read_folder
from inferry.core.errors import CheckpointError
from inferry.core.files import sha256_of
from inferry.core.protocols import Checkpoint
from inferry.core.specs import Array

PADDING: Final = "@@PADDING@@"
"""Answer 0, which AllenNLP does not write into answers.txt."""

_FIX: Final = (
    "Give the .tar.gz file that AllenNLP wrote of a VqaVilbert, such as vilbert-vqa-pretrained.2021-03-15.tar.gz; "
    "where it holds no tokenizer, also a folder with the vocab.txt and config.json of its text model."
)


def read_vilbert(
    path: Path, tokenizer: Path | None = None, find_tokenizer: Callable[[str], Path | None] | None = None
) -> Checkpoint:
    """A VqaVilbert archive of any size.

    Args:
        path: The archive, or a folder with exactly one.
        tokenizer: A folder with ``tokenizer.json`` or ``vocab.txt``, and the text model's Hugging Face ``config.json``;
            None for the tokenizer inside the archive.
        find_tokenizer: Gives such a folder by the name of the text model, or None if it knows none; asked only where
            the archive has no tokenizer and says the name.

    Returns:
        Tensors float32 under their original names, layers that the original never uses left out. Files: ``answers.txt``
        (one a line, line 0 is the padding class, line 1 the unknown answer) and ``tokenizer.json``.

    Raises:
        CheckpointError: Lists everything that is missing, contradictory, not supported or not finite.
    """
    archive = read_archive(path)
    problems = list(archive.problems)
    settings, found = _settings(archive)
    problems += found
    pieces = _tokenizer(archive, settings, tokenizer, find_tokenizer)
    problems += pieces.problems
    answers, found = _answers(archive)
    problems += found
    records, tensors, found = _weights(archive)
    problems += found
    config: dict[str, Any] = {}
    if records and settings.get("model"):
        shapes = {key: record.shape for key, record in records.items()}
        config, found = architecture(settings["model"], shapes, pieces.text_model)
        problems += found
    if config:
        problems += problems_of(tensors, vilbert_table(config)) if tensors else []
        problems += _contradictions(config, answers, pieces)
    if problems:
        raise CheckpointError(archive.path, problems, _FIX)
    kept = {key: array for key, array in tensors.items() if not without_effect(key, config)}
    return Checkpoint(
        family="vilbert-vqa",
        path=archive.path,
        sha256=sha256_of(archive.path),
        tensors=kept,
        config=config,
        processor=_processor(config, pieces),
        files={"answers.txt": "".join(f"{answer}\n" for answer in answers), "tokenizer.json": pieces.json},
        notes=(*pieces.notes, *_dropped(set(tensors) - set(kept))),
    )


def _settings(archive: Archive) -> tuple[dict[str, Any], list[str]]:
    """The content of config.json."""
    if "config.json" not in archive.texts:
        return {}, ["it has no config.json"]
    try:
        settings = json.loads(archive.texts["config.json"])
    except (ValueError, RecursionError) as error:
        return {}, [f"config.json cannot be read as JSON: {error}"]
    if not isinstance(settings, dict) or not isinstance(settings.get("model"), dict):
        return {}, ["config.json has no section model"]
    return settings, []


def _tokenizer(
    archive: Archive,
    settings: Mapping[str, Any],
    folder: Path | None,
    find: Callable[[str], Path | None] | None,
) -> TokenizerFile:
    """From the folder if there is one, else from the archive, else by the text model's name."""
    name, notes = _model_name(settings), []
    texts = _contained(archive) if folder is None else {}
    if folder is None and not texts and name and find is not None and (folder := find(name)) is not None:
        notes.append(f"the archive holds no tokenizer; that of {name}, which it names, was taken")
    if folder is not None:
        texts, problems = read_folder(folder)
        if problems:
            return TokenizerFile("", problems=tuple(problems))
    if not texts:
        wanted = f" of {name}" if name else ""
        problem = "it holds no tokenizer (vocabulary/tags.txt, vocab.txt or tokenizer.json); give a folder with that"
        return TokenizerFile("", problems=(f"{problem}{wanted} (--tokenizer)",))
    made = make_tokenizer(texts, name)
    return replace(made, text_model=texts.get("config.json", ""), notes=(*notes, *made.notes))


def _contained(archive: Archive) -> dict[str, str]:
    """The archive's own tokenizer files by name; empty without a tokenizer."""
    names = ("tokenizer.json", "vocab.txt", "tokenizer_config.json")
    texts = {name: archive.texts[name] for name in names if name in archive.texts}
    if {"tokenizer.json", "vocab.txt"} & texts.keys():
        return texts
    if "vocabulary/tags.txt" in archive.texts:
        # AllenNLP's indexer copies the tokenizer's vocabulary into its own namespace "tags".
        return texts | {"vocab.txt": archive.texts["vocabulary/tags.txt"]}
    return {}


def _model_name(settings: Mapping[str, Any]) -> str:
    """The Hugging Face name of the text model, empty if nothing says it."""
    reader = settings.get("dataset_reader")
    sections = [settings.get("model"), reader.get("tokenizer") if isinstance(reader, dict) else None]
    names = [section.get("model_name") for section in sections if isinstance(section, dict)]
    return next((name for name in names if isinstance(name, str)), "")


def _answers(archive: Archive) -> tuple[list[str], list[str]]:
    """Answers by class, and the problems."""
    text = archive.texts.get("vocabulary/answers.txt")
    if text is None:
        return [], ["it has no vocabulary/answers.txt"]
    answers = [PADDING, *text.removesuffix("\n").split("\n")]
    if "answers" in archive.texts.get("vocabulary/non_padded_namespaces.txt", "").split("\n"):
        return answers, ["its answers are a namespace without padding and unknown answer, which is not supported"]
    problems = []
    if len(set(answers)) != len(answers):
        problems.append("vocabulary/answers.txt has the same answer twice")
    if answers[1] != "@@UNKNOWN@@":
        problems.append(f"vocabulary/answers.txt begins with {answers[1]!r}, expected '@@UNKNOWN@@'")
    return answers, problems


def _weights(archive: Archive) -> tuple[dict[str, TensorRecord], dict[str, Array], list[str]]:
    """Records, tensors and problems of the weight file."""
    if archive.weights is None:
        return {}, {}, [f"it has no weight file; expected {' or '.join(WEIGHTS)}"]
    try:
        file = open_torch(archive.path, archive.weights)
        records = state_dict_of(file.content)
        return records, to_float32(file.arrays(records)), []
    except CheckpointError as error:
        return {}, {}, [f"weights: {problem}" for problem in error.problems]
    except UnsafePickleError as error:
        return {}, {}, [f"weights: {problem}" for problem in error.problems]


def _contradictions(config: Mapping[str, Any], answers: list[str], pieces: TokenizerFile) -> list[str]:
    """Where weights, answers and tokenizer do not belong together."""
    problems = []
    if answers and len(answers) != config["num_answers"]:
        problems.append(
            f"vocabulary/answers.txt and the padding make {len(answers)} answers, the classifier has "
            f"{config['num_answers']}"
        )
    if pieces.size > config["text"]["vocab_size"]:
        problems.append(f"the tokenizer has {pieces.size} tokens, the weights only {config['text']['vocab_size']}")
    return problems


def _processor(config: Mapping[str, Any], pieces: TokenizerFile) -> dict[str, Any]:
    return {
        "input": {
            "kind": "question-and-regions",
            "feature_size": config["image"]["feature_size"],
            "max_tokens": config["text"]["max_position_embeddings"],
            "vocab_size": pieces.size,
        },
        "decode": {"kind": "answers"},
    }


def _dropped(names: set[str]) -> list[str]:
    layers = sorted({".".join(name.split(".")[2:4]) for name in names})
    if not layers:
        return []
    return [f"left out, because the original computes but never uses them: {', '.join(layers)}"]
