"""ViLBERT for visual question answering (Lu et al. 2019, arXiv:1908.02265), with the detector that it sees through."""

from dataclasses import replace
from pathlib import Path
from typing import Final

from inferry.checkpoints.allennlp_vilbert import read_vilbert
from inferry.checkpoints.download import fetch
from inferry.checkpoints.torchvision_detector import WEIGHT_FILE, read_detector
from inferry.core.errors import CheckpointError, DownloadError, UsageError
from inferry.core.protocols import Checkpoint, ExportOptions, OldRecipe, Part, Preset, PresetFile, Recipe, Reference
from inferry.models.huggingface import tokenizer_preset
from inferry.networks import faster_rcnn, vilbert
from inferry.processing.answers import decoder
from inferry.processing.detector_image import LONG_SIDE, SHORT_SIDE
from inferry.processing.detector_probes import detector_probes
from inferry.processing.question_processor import DETECTOR, probes, processor

_FAMILY: Final = "vilbert-vqa"
_ARCHIVES: Final = "https://storage.googleapis.com/allennlp-public-models"
_ARCHIVE: Final = "vilbert-vqa-pretrained.2021-03-15.tar.gz"

_DETECTOR_FILE: Final = PresetFile(
    WEIGHT_FILE,
    url=f"https://download.pytorch.org/models/{WEIGHT_FILE}",
    sha256="258fb6c6",  # torchvision writes the first digits into the name
)
_DETECTOR: Final = Preset(
    "fasterrcnn_resnet50_fpn_coco", "COCO val2017 box AP 37.0 (torchvision)", _DETECTOR_FILE.url, (_DETECTOR_FILE,)
)

_NO_DETECTOR: Final = (
    "no region detector is in this bundle, so it takes ready-made regions and no pictures; "
    f"--detector {_DETECTOR.name} or --detector FILE adds one"
)


def _read(path: Path, options: ExportOptions) -> Checkpoint:
    tokenizer = None if options.tokenizer is None else _tokenizer(options.tokenizer)
    checkpoint = read_vilbert(path, tokenizer, _published_tokenizer)
    file = _detector(path, options.detector)
    if file is None:
        return replace(checkpoint, notes=(*checkpoint.notes, _NO_DETECTOR))
    found = read_detector(file)
    size, wanted = found.config["representation_size"], checkpoint.config["image"]["feature_size"]
    if size != wanted:
        problem = f"the detector gives {size} features a region, the network of {checkpoint.path.name} takes {wanted}"
        raise CheckpointError(
            found.path, [problem], "Give the detector that the network was trained with (--detector)."
        )
    sides = {"short_side": SHORT_SIDE, "long_side": LONG_SIDE}
    section = {**checkpoint.processor["input"], DETECTOR: sides}
    return replace(checkpoint, processor={**checkpoint.processor, "input": section}, parts={DETECTOR: found})


def _detector(path: Path, given: str | None) -> Path | None:
    """The detector's file or folder; None for none.

    Args:
        path: Of the checkpoint: where nothing was said, the released detector is taken that lies beside the archive,
            as in the folder of a preset.
        given: By the user.
    """
    if given is None:
        beside = path / WEIGHT_FILE
        return beside if beside.is_file() else None
    if given == "none":
        return None
    if given and (file := Path(given).expanduser()).exists():  # an empty path would be this folder
        return file
    if given == _DETECTOR.name:
        return fetch(_DETECTOR, _FAMILY, option="--detector")
    raise UsageError(
        f"no region detector at {given or repr(given)}; expected a .pth file, {_DETECTOR.name}, which is fetched, "
        "or none"
    )


def _tokenizer(given: str) -> Path:
    """A tokenizer's folder: as the user gave it, or fetched by its name."""
    if given and (folder := Path(given).expanduser()).is_dir():
        return folder
    if given and folder.is_file():
        raise UsageError(f"{given} is a file: give the folder that it lies in, {folder.parent}, as the tokenizer")
    try:
        found = _published_tokenizer(given)
    except DownloadError as error:
        raise DownloadError(
            f"{given} is no folder here, so it was taken for a name on Hugging Face.\n{error}"
        ) from error
    if found is None:
        raise UsageError(
            f"no tokenizer folder at {given or repr(given)}; expected one, or a name such as bert-base-uncased"
        )
    return found


def _published_tokenizer(name: str) -> Path | None:
    preset = tokenizer_preset(name)
    return None if preset is None else fetch(preset, _FAMILY, option="--tokenizer")


def _reference(checkpoint: Checkpoint) -> Reference:
    from inferry.reference.vilbert import reference

    return reference(checkpoint)


def _detector_reference(checkpoint: Checkpoint) -> Reference:
    from inferry.reference.faster_rcnn import reference

    return reference(checkpoint)


RECIPE = Recipe(
    family=_FAMILY,
    task="visual-question-answering",
    summary="ViLBERT for visual question answering, with its region detector; AllenNLP .tar.gz",
    presets=(
        Preset(
            _ARCHIVE.removesuffix(".tar.gz"),
            "VQA score 54 %, F1 40 % on 1,000 questions of balanced real val (model card), which trained on the rest",
            f"{_ARCHIVES}/{_ARCHIVE}",
            (PresetFile(_ARCHIVE, url=f"{_ARCHIVES}/{_ARCHIVE}"), _DETECTOR_FILE),
        ),
    ),
    read=_read,
    build=vilbert.build,
    processor=processor,
    decoder=decoder,
    reference=_reference,
    probes=probes,
    old_recipe=OldRecipe(100, true_outputs=False, source="Ascend ModelZoo, vilbert-vqa recipe"),
    takes=("tokenizer", "detector"),
    parts={DETECTOR: Part(faster_rcnn.build, _detector_reference, lambda _: detector_probes())},
)
