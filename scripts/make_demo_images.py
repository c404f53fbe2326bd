"""Makes the demo's test pictures: JPEG and PNG files in one folder for each class.

Example:
    python scripts/make_demo_images.py --output examples/images/shapes
"""

import argparse
from pathlib import Path

from demo_images import CLASSES, pictures

SEED = 20261
COUNT = 120


def write_pictures(output: Path) -> int:
    """Writes every test picture as `output/CLASS/NUMBER.SUFFIX`.

    Returns:
        The bytes of all files.
    """
    total = 0
    for index, (name, suffix, content) in enumerate(pictures(SEED, COUNT)):
        file = output / name / f"{index // len(CLASSES) + 1:02d}{suffix}"
        file.parent.mkdir(parents=True, exist_ok=True)
        total += file.write_bytes(content)
    return total


def main() -> None:
    """Parses the command line and writes the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder for the folders of the classes")
    options = parser.parse_args()
    print(f"{COUNT} pictures, {write_pictures(options.output)} bytes, in {options.output}")


if __name__ == "__main__":
    main()
