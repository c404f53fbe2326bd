"""wav2vec 2.0 with a CTC head (Baevski et al. 2020, arXiv:2006.11477)."""

from inferry.checkpoints.huggingface_speech import read_wav2vec2
from inferry.core.protocols import Checkpoint, OldRecipe, Recipe, Reference
from inferry.models.huggingface import speech_preset as _preset
from inferry.networks.wav2vec2 import build
from inferry.processing.speech import decoder, probes, processor
from inferry.processing.windows import cutter


def _reference(checkpoint: Checkpoint) -> Reference:
    from inferry.reference.huggingface_speech import reference

    return reference(checkpoint)


RECIPE = Recipe(
    family="wav2vec2",
    task="speech-recognition",
    summary="wav2vec 2.0 with a CTC head; Hugging Face folder",
    presets=(
        _preset("facebook/wav2vec2-base-960h", "LibriSpeech test-clean/other WER 3.4/8.6 % (model card)"),
        _preset("facebook/wav2vec2-large-960h-lv60-self", "LibriSpeech test-clean/other WER 1.9/3.9 % (model card)"),
    ),
    read=lambda path, _: read_wav2vec2(path),
    build=build,
    processor=processor,
    decoder=decoder,
    reference=_reference,
    probes=probes,
    cutter=cutter,
    old_recipe=OldRecipe(100_000, true_outputs=False, source="Ascend ModelZoo, built-in audio recipes"),
)
