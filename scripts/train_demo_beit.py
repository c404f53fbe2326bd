"""Trains the demo's small BEiT on drawn pictures and writes it in the format of unilm's checkpoints.

Example:
    OMP_NUM_THREADS=1 python scripts/train_demo_beit.py --output examples/images/beit
"""

import argparse
import io
import time
from pathlib import Path

import numpy as np
import torch
from demo_beit import SIZE, Beit
from demo_images import CLASSES, pictures
from PIL import Image
from torch import nn

from inferry.checkpoints.beit_assembly import Normalisation, processor_of
from inferry.core.samples import ImageFile
from inferry.processing.images import ImageProcessor, ImageSettings, normalised, resized_and_cropped

PICTURES = Path(__file__).resolve().parent.parent / "examples" / "images" / "shapes"
SETTINGS = ImageSettings.from_json(processor_of(SIZE, Normalisation())["input"])
BATCH = 64
RATE = 1e-3
WARM_UP = 100
SHIFT = 6
HELD_OUT = 640


def training_set(seed: int, count: int) -> tuple[np.ndarray, torch.Tensor]:
    """Drawn pictures, stored as files, read and cut as the shipped ones are: uint8 (count, size, size, 3), classes."""
    pixels = np.empty((count, SIZE, SIZE, 3), np.uint8)
    classes = torch.empty(count, dtype=torch.long)
    for index, (name, _, content) in enumerate(pictures(seed, count)):
        pixels[index] = resized_and_cropped(Image.open(io.BytesIO(content)).convert("RGB"), SETTINGS)
        classes[index] = CLASSES.index(name)
    return pixels, classes


def shipped_set(folder: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """The shipped pictures as inference reads them: float32 (count, 3, size, size), classes."""
    processor, files = ImageProcessor(SETTINGS), sorted(folder.glob("*/*"))
    inputs = [processor.process(ImageFile(file)).inputs["pixel_values"] for file in files]
    return torch.from_numpy(np.stack(inputs)), torch.tensor([CLASSES.index(file.parent.name) for file in files])


def tensor_of(pixels: np.ndarray) -> torch.Tensor:
    """The network's input for pictures that are cut already."""
    return torch.from_numpy(np.stack([normalised(picture, SETTINGS) for picture in pixels]))


def varied(inputs: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """The batch moved by some pixels, what leaves at one side enters at the other, and half of the time mirrored."""
    down, right = (int(pixels) for pixels in rng.integers(-SHIFT, SHIFT + 1, 2))
    inputs = inputs.roll((down, right), (2, 3))
    return inputs.flip(3) if rng.random() < 0.5 else inputs


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up over the first steps, then a half cosine to zero."""
    return RATE * min(1.0, (step + 1) / WARM_UP) * 0.5 * (1 + np.cos(np.pi * step / steps))


@torch.no_grad()
def hits(network: Beit, inputs: torch.Tensor, classes: torch.Tensor) -> tuple[int, int]:
    """Pictures whose class is the first, and is among the first five, of the network's answers."""
    network.eval()
    order = torch.cat([network(part) for part in inputs.split(BATCH)]).argsort(1, descending=True)
    network.train()
    right = order == classes[:, None]
    return int(right[:, 0].sum()), int(right[:, :5].sum())


def train(network: Beit, pixels: np.ndarray, classes: torch.Tensor, steps: int, seed: int) -> None:
    """Trains with AdamW and prints progress on the last pictures, which it does not train on."""
    rng = np.random.default_rng(seed)
    held_out = tensor_of(pixels[-HELD_OUT:]), classes[-HELD_OUT:]
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.05)
    start, total = time.monotonic(), 0.0
    for step in range(1, steps + 1):
        chosen = rng.integers(0, len(pixels) - HELD_OUT, BATCH)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step - 1, steps)
        logits = network(varied(tensor_of(pixels[chosen]), rng))
        loss = nn.functional.cross_entropy(logits, classes[chosen], label_smoothing=0.05)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        total += loss.item()
        if step % 250 == 0:
            right, _ = hits(network, *held_out)
            seconds = time.monotonic() - start
            print(f"step {step} loss {total / 250:.3f} top-1 {right / HELD_OUT:.3f} after {seconds:.0f} s", flush=True)
            total = 0.0


def save(network: Beit, output: Path) -> None:
    """Writes the checkpoint as unilm does, and the names of the classes beside it."""
    output.mkdir(parents=True, exist_ok=True)
    torch.save({"model": network.state_dict()}, output / "beit_shapes.pth")
    (output / "classes.txt").write_text("".join(f"{name}\n" for name in CLASSES), encoding="utf-8")


def main() -> None:
    """Parses the command line, trains, writes the checkpoint and prints its accuracy on the shipped pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--pictures", type=int, default=8000, help="size of the training set")
    parser.add_argument("--steps", type=int, default=4000)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    start = time.monotonic()
    pixels, classes = training_set(options.seed, options.pictures)
    print(f"{len(pixels)} pictures after {time.monotonic() - start:.0f} s", flush=True)
    network = Beit(len(CLASSES))
    print(f"{sum(p.numel() for p in network.parameters())} parameters", flush=True)
    train(network, pixels, classes, options.steps, options.seed)
    save(network, options.output)
    inputs, references = shipped_set(PICTURES)
    first, among_five = hits(network, inputs, references)
    print(f"shipped pictures: top-1 {first} top-5 {among_five} of {len(references)}")
    print(f"after {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
