"""Fetch the JavaScript libraries of the report into the package: ``python scripts/vendor_report_assets.py``.

They are copied byte for byte from the published packages, so that anyone can compare them; versions.json keeps their
sha256, which a test checks. To update one, change its version here, run this, and look at a report.
"""

import json
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

ASSETS = Path(__file__).resolve().parent.parent / "src" / "inferry" / "report" / "assets"


@dataclass(frozen=True)
class Library:
    """One package of the npm registry.

    Attributes:
        name: As published.
        version: Exactly this one.
        license: SPDX name.
        files: Paths inside the package that the report inlines.
    """

    name: str
    version: str
    license: str
    files: tuple[str, ...]


LIBRARIES = (
    Library("d3", "7.9.0", "ISC", ("dist/d3.min.js",)),
    Library("@observablehq/plot", "0.6.17", "ISC", ("dist/plot.umd.min.js",)),
    Library("tabulator-tables", "6.5.3", "MIT", ("dist/js/tabulator.min.js", "dist/css/tabulator_simple.min.css")),
)


def read_package(library: Library) -> dict[str, bytes]:
    """The wanted files and the licence of one package, by path."""
    with tempfile.TemporaryDirectory() as folder:
        wanted = f"{library.name}@{library.version}"
        subprocess.run(["npm", "pack", "--silent", "--pack-destination", folder, wanted], check=True, cwd=folder)
        (archive,) = Path(folder).glob("*.tgz")
        with tarfile.open(archive) as package:
            members = {name: package.extractfile(f"package/{name}") for name in (*library.files, "LICENSE")}
            return {name: member.read() for name, member in members.items() if member is not None}


def main() -> None:
    """Write the files, LICENSES.txt and versions.json."""
    ASSETS.mkdir(parents=True, exist_ok=True)
    versions, licenses = [], []
    for library in LIBRARIES:
        contents = read_package(library)
        files = {}
        for path in library.files:
            name = Path(path).name
            (ASSETS / name).write_bytes(contents[path])
            files[name] = sha256(contents[path]).hexdigest()
        versions.append({"name": library.name, "version": library.version, "license": library.license, "sha256": files})
        licenses.append(f"{library.name} {library.version}\n\n{contents['LICENSE'].decode().strip()}\n")
        print(f"{library.name} {library.version}: {', '.join(files)}")
    (ASSETS / "versions.json").write_text(json.dumps(versions, indent=2) + "\n", encoding="utf-8")
    (ASSETS / "LICENSES.txt").write_text(("\n" + "-" * 80 + "\n\n").join(licenses), encoding="utf-8")


if __name__ == "__main__":
    main()
