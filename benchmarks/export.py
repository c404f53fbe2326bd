"""Time and peak memory of ``inferry export`` on a checkpoint of full size, with and without the original network.

Each export is a process of its own; time and memory include the interpreter and all imports.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from full_size import WRITERS
from measure import INFERRY, Child, Range, print_signature, run_child, verdict, work_folder

SECONDS = 20.0
GIGABYTES = 3.0
"""What an export of wav2vec2-base may take."""


def main() -> int:
    """Measure and compare with the limits."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--work", type=Path, help="folder for the checkpoints, to be used again; default: a temporary one"
    )
    parser.add_argument("--name", choices=list(WRITERS), default="wav2vec2", help="the checkpoint; default: wav2vec2")
    parser.add_argument("--rounds", type=int, default=3, help="exports of each kind, in turn; default: 3")
    arguments = parser.parse_args()
    print_signature()
    with work_folder(arguments.work) as work:
        # A process of its own: what it needs to make the weights must not count into the exports' peaks.
        run_child([sys.executable, str(Path(__file__).with_name("full_size.py")), "--work", str(work), arguments.name])
        checkpoint = work / "checkpoints" / arguments.name
        kinds = {"without the original network": ["--no-reference"], "with the original network": []}
        found: dict[str, list[Child]] = {kind: [] for kind in kinds}
        for _ in range(arguments.rounds):
            for kind, extra in kinds.items():
                found[kind].append(_export(WRITERS[arguments.name][0], checkpoint, extra))
    return max([_report(kind, children) for kind, children in found.items()])


def _export(family: str, checkpoint: Path, extra: list[str]) -> Child:
    with tempfile.TemporaryDirectory(prefix="inferry-benchmark-", dir=checkpoint.parent.parent) as folder:
        output = str(Path(folder) / "bundle")
        return run_child([*INFERRY, "export", family, "--checkpoint", str(checkpoint), "--output", output, *extra])


def _report(kind: str, children: list[Child]) -> int:
    """Print one line; 1 if a median is above its limit, else 0."""
    seconds = Range.of([child.seconds for child in children])
    peak = Range.of([child.peak / 1e9 for child in children])
    quick, small = seconds.median < SECONDS, peak.median < GIGABYTES
    print(f"{kind}: {seconds} s, {verdict(kept=quick, limit=f'{SECONDS:g} s')}")
    print(f"{kind}: peak {peak} GB, {verdict(kept=small, limit=f'{GIGABYTES:g} GB')}")
    return int(not (quick and small))


if __name__ == "__main__":
    sys.exit(main())
