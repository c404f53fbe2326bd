"""Inferry: from a trained checkpoint to a verified, fast offline model.

bundle = inferry.export("wav2vec2", checkpoint="wav2vec2-base-960h/", output="bundle/")
model = inferry.load("bundle/")
outputs = model.infer(["a.flac", inferry.Audio(samples, 16_000)])
predictions = model.predict(["a.flac"])
"""

from typing import TYPE_CHECKING, Any

from inferry.core.errors import InferryError
from inferry.core.protocols import Decoding
from inferry.core.samples import (
    Answer,
    Audio,
    AudioFile,
    Classification,
    Image,
    ImageFile,
    Question,
    Ranked,
    RegionFile,
    Regions,
    Transcription,
    Word,
)

if TYPE_CHECKING:
    from inferry.pipeline.bench import BenchOptions, bench
    from inferry.pipeline.compare import Against, compare
    from inferry.pipeline.evaluate import evaluate
    from inferry.pipeline.export import export
    from inferry.pipeline.infer import infer
    from inferry.pipeline.model import Model, load
    from inferry.pipeline.plan import plan
    from inferry.pipeline.run import run

__all__ = [
    "Against",
    "Answer",
    "Audio",
    "AudioFile",
    "BenchOptions",
    "Classification",
    "Decoding",
    "Image",
    "ImageFile",
    "InferryError",
    "Model",
    "Question",
    "Ranked",
    "RegionFile",
    "Regions",
    "Transcription",
    "Word",
    "bench",
    "compare",
    "evaluate",
    "export",
    "infer",
    "load",
    "plan",
    "run",
]

_LAZY = {
    "Against": "compare",
    "BenchOptions": "bench",
    "Model": "model",
    "bench": "bench",
    "compare": "compare",
    "evaluate": "evaluate",
    "export": "export",
    "infer": "infer",
    "load": "model",
    "plan": "plan",
    "run": "run",
}


def __getattr__(name: str) -> Any:  # noqa: ANN401 -- functions and classes
    """Import a part of the pipeline when it is first asked for, so that `import inferry` stays light."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module  # noqa: PLC0415 -- needed here only

    return getattr(import_module(f"inferry.pipeline.{_LAZY[name]}"), name)
