"""Trains the demo's region detector on drawn scenes, with the anchors and, at last, the picture size of the original.

Example:
    OMP_NUM_THREADS=1 python scripts/train_demo_detector.py --output examples/questions/vilbert-vqa/detector.pth
"""

import argparse
import time
from pathlib import Path

import numpy as np
import torch
from demo_detector import CLASSES, Detector, initial_weights
from demo_detector_losses import Example, loss
from demo_scenes import Scene, pixels, random_scene

from inferry.processing.detector_image import SHORT_SIDE, prepare

STEPS = 4000
RATE = 2e-3
CROWD = 8
"""Most shapes in a training scene: twice as many as in the demo's scenes, because each step learns from all of them."""

SMALL_SIDES = (256, 320, 400)
"""Short sides of the pictures at first, in pixels: a step costs less than half of one at the original's 800."""

SMALL_SHARE = 0.75
"""Of all steps."""

_REPORT = 50
_SAVE = 500


def example(scene: Scene, short_side: int = SHORT_SIDE) -> Example:
    """A scene as the detector sees it."""
    picture = prepare(pixels(scene), short_side)
    height, width = (int(side) for side in picture.image_size)
    scale = torch.tensor([width / scene.width, height / scene.height] * 2)
    boxes = torch.tensor([shape.box for shape in scene.shapes]) * scale
    classes = torch.tensor([CLASSES.index(f"{shape.colour} {shape.form}") + 1 for shape in scene.shapes])
    return Example(torch.from_numpy(picture.image), (height, width), boxes, classes)


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up over 100 steps, then half a cosine to zero."""
    return RATE * min((step + 1) / 100, 0.5 + 0.5 * float(np.cos(np.pi * step / steps)))


def train(steps: int, seed: int, output: Path) -> None:
    """Trains with AdamW, one new scene a step, prints progress, and saves the state dict now and then.

    Args:
        steps: Over which the learning rate falls to zero.
        seed: Of weights, scenes and samples.
        output: The .pth file.
    """
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    weights = initial_weights()
    detector = Detector(weights)
    detector.measure_norms(example(random_scene(rng)).image)
    optimizer = torch.optim.AdamW([weight for weight in weights.values() if weight.requires_grad], weight_decay=1e-4)
    start, total = time.monotonic(), 0.0
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        optimizer.zero_grad()
        side = int(rng.choice(SMALL_SIDES)) if step < SMALL_SHARE * steps else SHORT_SIDE
        value = loss(detector, example(random_scene(rng, CROWD), side))
        value.backward()
        torch.nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], 5.0)
        optimizer.step()
        total += value.item()
        if (step + 1) % _REPORT == 0:
            print(f"step {step + 1} loss {total / _REPORT:.3f} after {time.monotonic() - start:.0f} s", flush=True)
            total = 0.0
        if (step + 1) % _SAVE == 0 or step + 1 == steps:
            torch.save({name: weight.detach().clone() for name, weight in weights.items()}, output)


def main() -> None:
    """Parses the command line and trains."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="the .pth file")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    train(options.steps, options.seed, options.output)
    print(f"{options.output}: {options.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
