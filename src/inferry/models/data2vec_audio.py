"""data2vec for speech with a CTC head (Baevski et al. 2022, arXiv:2202.03555)."""

from inferry.checkpoints.huggingface_speech import read_data2vec_audio
from inferry.core.protocols import Checkpoint, OldRecipe, Recipe, Reference
from inferry.models.huggingface import speech_preset as _preset
from inferry.networks.data2vec_audio import build
from inferry.processing.speech import decoder, probes, processor
from inferry.processing.windows import cutter


def _reference(checkpoint: Checkpoint) -> Reference:
    from inferry.reference.huggingface_speech import reference

    return reference(checkpoint)


RECIPE = Recipe(
    family="data2vec-audio",
    task="speech-recognition",
    summary="data2vec for speech with a CTC head; Hugging Face folder",
    presets=(
        _preset("facebook/data2vec-audio-base-960h", "LibriSpeech test-clean/other WER 2.77/7.08 % (model card)"),
    ),
    read=lambda path, _: read_data2vec_audio(path),
    build=build,
    processor=processor,
    decoder=decoder,
    reference=_reference,
    probes=probes,
    cutter=cutter,
    old_recipe=OldRecipe(559_280, true_outputs=False, source="Ascend ModelZoo, built-in audio recipes"),
)
