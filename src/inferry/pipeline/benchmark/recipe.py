"""The published recipes' way to run a network, for comparison only.

Every sample alone is padded with zeros to one length, and the network takes all of it for sound; what is longer is
dropped.
"""

from dataclasses import replace

import numpy as np

from inferry.core.errors import UsageError
from inferry.core.protocols import OldRecipe
from inferry.core.samples import Features
from inferry.core.specs import Array
from inferry.models.registry import get_recipe
from inferry.pipeline.execution import planned_axis
from inferry.pipeline.model import Model


def old_recipe_of(family: str) -> OldRecipe:
    """The family's published recipe.

    Raises:
        UsageError: There is none.
    """
    recipe = get_recipe(family).old_recipe
    if recipe is None:
        raise UsageError(f"{family} has no published recipe to compare with: leave --baseline out")
    return recipe


def recipe_features(model: Model, features: Features, recipe: OldRecipe) -> Features:
    """The features as the recipe feeds them: zero padded, with the padded length as the true one.

    Args:
        model: Knows which axis of which input is padded.
        features: No longer than `recipe.length`.
        recipe: To which length.
    """
    axis_name = planned_axis(model.bundle.manifest.inputs)
    inputs: dict[str, Array] = {}
    for spec in model.bundle.manifest.inputs:
        value = features.inputs[spec.name]
        if value.ndim == 0:
            # The only scalar inputs of a sample are lengths (`Features.inputs`).
            inputs[spec.name] = np.full_like(value, recipe.length)
            continue
        missing = [
            recipe.length - size if dim == axis_name else 0
            for size, dim in zip(value.shape, spec.dims[1:], strict=True)
        ]
        inputs[spec.name] = np.pad(value, [(0, count) for count in missing])
    return replace(features, inputs=inputs, length=recipe.length)


def recipe_outputs(model: Model, outputs: dict[str, Array], features: Features, recipe: OldRecipe) -> dict[str, Array]:
    """The outputs that the recipe decodes: all of them, or those of the sample's own length.

    The deepspeech2 recipe keeps floor(T / 2) frames of 311. The last frame of 311 belongs to the last of 621, so
    620 / 310 is the network's stride, and floor(T / stride) is the same number for any network.

    Args:
        model: Knows which outputs have a length.
        outputs: Of the padded sample.
        features: The sample's own, unpadded.
        recipe: Whether it cuts.
    """
    if not recipe.true_outputs:
        return outputs
    cut = dict(outputs)
    for spec in model.bundle.manifest.outputs:
        if spec.length is not None:
            (axis,) = spec.dynamic_axes
            frames = outputs[spec.name].shape[axis - 1]
            own = features.length * (frames - 1) // (recipe.length - 1)
            cut[spec.name] = outputs[spec.name].take(range(own), axis=axis - 1)
    return cut
