"""BEiT classifiers in files of microsoft/unilm (beit), checked completely and read into numpy.

A file is ``{"model": state_dict}``, ``{"module": state_dict}`` (DeepSpeed) or the state dict itself. One from training
adds the optimizer and the command line: a pickled ``argparse.Namespace``, which is read without being made.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from inferry.checkpoints.beit_assembly import Normalisation, Parts, assemble
from inferry.checkpoints.huggingface_beit import read_huggingface_beit
from inferry.checkpoints.omegaconf_tree import state_of
from inferry.checkpoints.pickles import UnsafePickleError
from inferry.checkpoints.torch_files import open_torch, state_dict_of
from inferry.core.errors import CheckpointError
from inferry.core.files import sha256_of
from inferry.core.protocols import Checkpoint

_KEYS: Final = ("model", "module")
_SUFFIXES: Final = (".pth", ".pt")
_IMAGENET: Final = Normalisation((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_CLASSES: Final = "classes.txt"
_FIX: Final = (
    "Give a .pth file of a fine-tuned classifier of unilm/beit, such as beit_base_patch16_224_pt22k_ft22kto1k.pth, or "
    "the Hugging Face folder of one."
)


def read_beit(path: Path) -> Checkpoint:
    """A BEiT classifier of any size, in unilm's or Hugging Face's layout.

    Args:
        path: A .pth file of unilm, a folder with exactly one, or a Hugging Face folder. Class names are taken from
            ``classes.txt`` beside a .pth file, one a line, where there is one.

    Returns:
        Tensors float32 under unilm's names. Beside every relative position table stands its index buffer, int64
        (tokens, tokens), whether the file has it or not.

    Raises:
        CheckpointError: Lists everything that is missing, contradictory, not supported or not finite.
    """
    folder = path if path.is_dir() else path.parent
    if path.suffix not in _SUFFIXES and (folder / "config.json").exists():
        return read_huggingface_beit(folder)
    weights = _file(path)
    file = open_torch(weights)
    content = file.content
    chosen = next((content[key] for key in _KEYS if key in content), content) if isinstance(content, dict) else content
    try:
        tensors = file.arrays(state_dict_of(chosen))
    except UnsafePickleError as error:
        raise CheckpointError(weights, error.problems, _FIX) from error
    normalisation, notes = _normalisation(state_of(content.get("args")) if isinstance(content, dict) else {})
    labels, problems = _class_names(weights.parent / _CLASSES)
    parts = Parts(weights, sha256_of(weights), tensors, labels, normalisation, notes, problems)
    checkpoint = assemble(parts, _FIX)
    if labels is not None:
        return checkpoint
    return replace(checkpoint, notes=(*checkpoint.notes, f"names are read from {_CLASSES} beside the file, one a line"))


def _file(path: Path) -> Path:
    if not path.exists():
        raise CheckpointError(path, ["it does not exist; expected a .pth file, or a folder with one"], _FIX)
    if not path.is_dir():
        return path
    found = sorted(file for file in path.iterdir() if file.suffix in _SUFFIXES)
    if len(found) == 1:
        return found[0]
    names = f": {', '.join(file.name for file in found)}" if found else ", and no config.json"
    fix = "Name the file itself." if found else _FIX
    raise CheckpointError(path, [f"it has {len(found)} .pth files, expected one{names}"], fix)


def _class_names(path: Path) -> tuple[list[str] | None, tuple[str, ...]]:
    """Lines of the file and the problems; None if there is no file."""
    if not path.is_file():
        return None, ()
    try:
        return path.read_text(encoding="utf-8-sig").rstrip().splitlines(), ()
    except (OSError, UnicodeDecodeError) as error:
        return None, (f"{path.name} beside it cannot be read: {error}",)


def _normalisation(arguments: dict[str, Any]) -> tuple[Normalisation, tuple[str, ...]]:
    """As the command line that trained it says."""
    if arguments.get("imagenet_default_mean_and_std") is True:
        note = "pixels are normalised with ImageNet's mean and deviation, as the training's command line says"
        return _IMAGENET, (note,)
    return Normalisation(), ()
