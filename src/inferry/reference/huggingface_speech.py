"""The original wav2vec2 and data2vec-audio networks of transformers: the truth that every hop is measured against."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Final

import numpy as np

from inferry.core.errors import BackendError, CheckpointError, MissingDependencyError, UsageError
from inferry.core.machine import INSTALL_REFERENCE
from inferry.core.protocols import Checkpoint, Reference
from inferry.core.specs import Array

_CLASSES: Final = {
    "wav2vec2": ("Wav2Vec2Config", "Wav2Vec2ForCTC"),
    "data2vec-audio": ("Data2VecAudioConfig", "Data2VecAudioForCTC"),
}

_INFERENCE: Final = {"attn_implementation": "eager", "mask_time_prob": 0.0, "mask_feature_prob": 0.0}
"""The attention as the papers write it, and no parameters that only training uses."""


class HuggingFaceSpeech:
    """A CTC model of transformers in evaluation mode; made by `reference`.

    It computes in float64, so that its own rounding takes nothing of the tolerance: docs/decisions/0003.
    """

    def __init__(self, torch: Any, model: Any, signature: dict[str, str]) -> None:
        self._torch = torch
        self._model = model
        self._signature = signature

    def infer(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """One utterance alone: no padding, no attention mask.

        Args:
            inputs: ``input_values`` (samples) float32, normalised, and optionally ``input_lengths``, their true number.

        Returns:
            ``logits`` (frames, vocabulary) float64 and ``output_lengths`` (), int64, the number of frames.

        Raises:
            BackendError: torch refused, for example because the utterance is too short for one frame.
        """
        samples = np.asarray(inputs["input_values"], np.float32)
        samples = np.array(samples[: int(inputs.get("input_lengths", samples.size))])
        try:
            with self._torch.no_grad(), _one_thread(self._torch):
                logits = self._model(self._torch.from_numpy(samples)[None].double()).logits[0].numpy()
        except RuntimeError as error:
            raise BackendError(f"transformers refused an utterance of {samples.size} samples: {error}") from error
        return {"logits": logits, "output_lengths": np.array(len(logits), np.int64)}

    def modules(self) -> list[str]:
        """Full names of the modules without children, as in the checkpoint; larger ones may turn their outputs."""
        return [name for name, module in self._model.named_modules() if not any(module.children())]

    def trace(self, inputs: Mapping[str, Array], names: Sequence[str]) -> dict[str, Array]:
        """What modules give for one utterance alone.

        Args:
            inputs: As for `infer`.
            names: Of modules.

        Returns:
            float64, batch first, by name: the output, or the first of several. What gives no tensor is left out.
        """
        found: dict[str, Array] = {}

        def keep(name: str, output: Any) -> None:
            first = output[0] if isinstance(output, tuple) else output
            if isinstance(first, self._torch.Tensor):
                found[name] = first.detach().numpy().copy()

        hooks = [
            self._model.get_submodule(name).register_forward_hook(lambda _, __, output, name=name: keep(name, output))
            for name in names
        ]
        try:
            self.infer(inputs)
        finally:
            for hook in hooks:
                hook.remove()
        return found

    def signature(self) -> dict[str, str]:
        """Versions of torch and transformers, and the class that computed it."""
        return dict(self._signature)


def reference(checkpoint: Checkpoint) -> Reference:
    """The original network with the checkpoint's tensors.

    Raises:
        UsageError: No class of transformers is known for the checkpoint's family.
        MissingDependencyError: torch or transformers is not installed.
        BackendError: They are installed but cannot be imported.
        CheckpointError: The tensors are not those of the class.
    """
    if checkpoint.family not in _CLASSES:
        raise UsageError(f"no original network for the family {checkpoint.family!r}; available: {', '.join(_CLASSES)}")
    with _quiet():
        torch, transformers = _imports()
        config_class, model_class = (getattr(transformers, name) for name in _CLASSES[checkpoint.family])
        with _without_log(transformers):
            model = _load(torch, model_class, config_class(**{**checkpoint.config, **_INFERENCE}), checkpoint)
    signature = {
        "torch": str(torch.__version__),
        "transformers": str(transformers.__version__),
        "network": str(model_class.__name__),
    }
    return HuggingFaceSpeech(torch, model, signature)


def _imports() -> tuple[Any, Any]:
    try:
        import torch
        import transformers

        # transformers loads its models lazily: a broken neighbour of torch shows only here.
        for _, model_class in _CLASSES.values():
            getattr(transformers, model_class)
    except ModuleNotFoundError as error:
        if error.name in {"torch", "transformers"}:
            raise MissingDependencyError(error.name, "The original network", INSTALL_REFERENCE) from error
        raise _broken(error) from error
    except (ImportError, OSError, RuntimeError, AttributeError) as error:
        raise _broken(error) from error
    return torch, transformers


def _broken(error: Exception) -> BackendError:
    return BackendError(
        f"torch and transformers are installed, but their speech models cannot be imported: {error}. "
        "A torchaudio or torchvision that was built for another torch has this effect: remove it with "
        "pip uninstall torchaudio torchvision"
    )


def _load(torch: Any, model_class: Any, config: Any, checkpoint: Checkpoint) -> Any:
    with torch.device("meta"):
        model = model_class(config)
    for module in model.modules():
        if torch.nn.utils.parametrize.is_parametrized(module, "weight"):
            # The checkpoint holds the resolved weight; splitting it again would round it.
            torch.nn.utils.parametrize.remove_parametrizations(module, "weight")
    tensors = {name: torch.from_numpy(array) for name, array in checkpoint.tensors.items()}
    try:
        model.load_state_dict(tensors, strict=True, assign=True)
    except RuntimeError as error:
        problems = [line.strip() for line in str(error).splitlines()[1:]] or [str(error)]
        raise CheckpointError(
            checkpoint.path, problems, "check that weights and config.json belong together."
        ) from error
    return model.double().eval()


@contextmanager
def _one_thread(torch: Any) -> Iterator[None]:
    """Several threads would wait for each other most of the time wherever other programs use the processors too."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # Read-only arrays and deprecations inside transformers: nothing that a user could act on.
        warnings.simplefilter("ignore")
        yield


@contextmanager
def _without_log(transformers: Any) -> Iterator[None]:
    log = transformers.utils.logging
    level = log.get_verbosity()
    log.set_verbosity_error()
    try:
        yield
    finally:
        log.set_verbosity(level)
