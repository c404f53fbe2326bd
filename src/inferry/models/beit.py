"""BEiT, fine-tuned for image classification (Bao et al. 2021, arXiv:2106.08254)."""

from pathlib import Path

from inferry.checkpoints.beit_assembly import with_image_size
from inferry.checkpoints.unilm_beit import read_beit
from inferry.core.protocols import Checkpoint, ExportOptions, Preset, PresetFile, Recipe, Reference
from inferry.networks.beit import build
from inferry.processing.classification import decoder
from inferry.processing.images import probes, processor

_RELEASE = "https://github.com/addf400/files/releases/download/v1.0"


def _preset(name: str, accuracy: str) -> Preset:
    url = f"{_RELEASE}/{name}.pth"
    return Preset(name, accuracy, url, (PresetFile(f"{name}.pth", url=url),))


def _read(path: Path, options: ExportOptions) -> Checkpoint:
    checkpoint = read_beit(path)
    return checkpoint if options.image_size is None else with_image_size(checkpoint, options.image_size)


def _reference(checkpoint: Checkpoint) -> Reference:
    from inferry.reference.beit import reference

    return reference(checkpoint)


RECIPE = Recipe(
    family="beit",
    task="image-classification",
    summary="BEiT with a classification head; unilm .pth or Hugging Face folder",
    presets=(
        _preset("beit_base_patch16_224_pt22k_ft22kto1k", "ImageNet-1k top-1/top-5 85.2/97.6 % (README of unilm/beit)"),
    ),
    read=_read,
    build=build,
    processor=processor,
    decoder=decoder,
    reference=_reference,
    probes=probes,
    takes=("image_size",),
)
