"""Peak memory of ``inferry infer`` over few and over many utterances: it must not grow with the data set.

The sounds are generated once: noise of 0.5 to 3 seconds, no two of the same length for long. The network is tiny, so
that anything that piles up around it shows. Each run is a process of its own.
"""

import argparse
import sys
import tempfile
import wave
from pathlib import Path

import numpy as np
from full_size import WRITERS
from measure import INFERRY, Child, Range, print_signature, run_child, verdict, work_folder

from inferry.core.files import atomic_folder

RATE = 16000
ALLOWANCE = 1.10
"""Most times the peak of the small run: the list of samples and the journal's offsets take some kilobytes each."""


def main() -> int:
    """Measure and compare."""
    arguments = _arguments()
    print_signature()
    with work_folder(arguments.work) as work:
        for count in (arguments.few, arguments.many):
            _sounds(work, count)
        bundle = _bundle(work, arguments.name)
        found: dict[int, list[Child]] = {arguments.few: [], arguments.many: []}
        for _ in range(arguments.rounds):
            for count, children in found.items():
                children.append(_infer(bundle, _sounds(work, count), arguments.batch_size))
                print(f"{count} utterances: {children[-1].peak / 1e6:.1f} MB, {children[-1].seconds:.1f} s", flush=True)
    return _report(found[arguments.few], found[arguments.many])


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--work", type=Path, help="folder for sounds and bundle, to be used again")
    parser.add_argument("--name", choices=list(WRITERS), default="tiny", help="the checkpoint; default: tiny")
    parser.add_argument("--few", type=int, default=100, help="utterances of the small run; default: 100")
    parser.add_argument("--many", type=int, default=10_000, help="utterances of the large run; default: 10,000")
    parser.add_argument("--batch-size", type=int, default=8, help="the same for both; default: 8")
    parser.add_argument("--rounds", type=int, default=3, help="default: 3")
    return parser.parse_args()


def lengths(count: int) -> list[int]:
    """Samples of each sound: 0.5 to 3 s, evenly spread in a shuffled order; any first hundred cover the range."""
    random = np.random.default_rng(count)
    places = (np.arange(count) + random.random(count)) / count
    return [int(RATE * (0.5 + 2.5 * place)) for place in random.permutation(places)]


def _sounds(work: Path, count: int) -> Path:
    """A folder with so many WAV files; it is written on the first call."""
    folder = work / "sounds" / str(count)
    if not folder.is_dir():
        random = np.random.default_rng(0)
        with atomic_folder(folder) as temporary:
            for index, length in enumerate(lengths(count)):
                sound = random.integers(-3000, 3000, length, dtype=np.int16)
                with wave.open(str(temporary / f"{index:06}.wav"), "wb") as file:
                    file.setparams((1, 2, RATE, length, "NONE", ""))
                    file.writeframes(sound.tobytes())
    return folder


def _bundle(work: Path, name: str) -> Path:
    """Made in processes of their own: a large parent would count into the peaks that are measured."""
    bundle = work / "bundles" / name
    if not bundle.is_dir():
        run_child([sys.executable, str(Path(__file__).with_name("full_size.py")), "--work", str(work), name])
        checkpoint = str(work / "checkpoints" / name)
        options = ["--checkpoint", checkpoint, "--output", str(bundle), "--no-reference"]
        run_child([*INFERRY, "export", WRITERS[name][0], *options])
    return bundle


def _infer(bundle: Path, data: Path, batch_size: int) -> Child:
    with tempfile.TemporaryDirectory(prefix="inferry-benchmark-") as folder:
        output = str(Path(folder) / "run")
        options = ["--data", str(data), "--output", output, "--batch-size", str(batch_size)]
        return run_child([*INFERRY, "infer", str(bundle), *options])


def _report(few: list[Child], many: list[Child]) -> int:
    """Print both and their ratio; 1 if it is above the allowance, else 0."""
    small, large = (Range.of([child.peak / 1e6 for child in children]) for children in (few, many))
    ratio = large.median / small.median
    print(f"peak of the small run: {small} MB; of the large run: {large} MB")
    print(f"large / small: {ratio:.3f}, {verdict(kept=ratio <= ALLOWANCE, limit=f'{ALLOWANCE:g}')}")
    return int(ratio > ALLOWANCE)


if __name__ == "__main__":
    sys.exit(main())
