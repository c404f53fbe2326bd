"""DeepSpeech2 of deepspeech.pytorch V3.0 (Amodei et al. 2015, arXiv:1512.02595)."""

from inferry.checkpoints.lightning_deepspeech import read_deepspeech2
from inferry.core.protocols import Checkpoint, OldRecipe, Preset, PresetFile, Recipe, Reference
from inferry.networks.deepspeech2 import build
from inferry.processing.speech import decoder, probes, processor
from inferry.processing.windows import cutter

_RELEASE = "https://github.com/SeanNaren/deepspeech.pytorch/releases/download/V3.0"


def _preset(name: str, file: str, accuracy: str) -> Preset:
    url = f"{_RELEASE}/{file}"
    return Preset(name, accuracy, url, (PresetFile(file, url=url),))


def _reference(checkpoint: Checkpoint) -> Reference:
    from inferry.reference.deepspeech2 import reference

    return reference(checkpoint)


RECIPE = Recipe(
    family="deepspeech2",
    task="speech-recognition",
    summary="DeepSpeech2 with a CTC head; deepspeech.pytorch V3 Lightning .ckpt",
    presets=(
        _preset("deepspeech2-an4", "an4_pretrained_v3.ckpt", "AN4 test WER 9.573 %, CER 5.515 % (release notes)"),
        _preset("deepspeech2-librispeech", "librispeech_pretrained_v3.ckpt", "see the release notes of V3.0"),
        _preset("deepspeech2-ted", "ted_pretrained_v3.ckpt", "see the release notes of V3.0"),
    ),
    read=lambda path, _: read_deepspeech2(path),
    build=build,
    processor=processor,
    decoder=decoder,
    reference=_reference,
    probes=probes,
    cutter=cutter,
    old_recipe=OldRecipe(621, true_outputs=True, source="Ascend ModelZoo, built-in audio recipes"),
)
