import json
from hashlib import sha256

from inferry.report.inline import SCRIPTS, STYLES, inline_scripts, inline_styles, read_asset

VERSIONS = json.loads(read_asset("versions.json"))


def test_the_libraries_are_those_of_the_published_packages():
    found = {name: digest for library in VERSIONS for name, digest in library["sha256"].items()}
    assert set(found) == {*SCRIPTS, *STYLES} - {"page.js", "page.css", "samples.css", "print.css"}
    assert {name: sha256(read_asset(name).encode()).hexdigest() for name in found} == found


def test_every_library_has_its_licence_beside_it():
    licences = read_asset("LICENSES.txt")
    for library in VERSIONS:
        assert f"{library['name']} {library['version']}\n" in licences
        assert library["license"] in {"ISC", "MIT"}
    assert licences.count("Copyright") == len(VERSIONS)


def test_nothing_inlined_asks_for_a_source_map_or_ends_early():
    assert "sourceMappingURL" in read_asset("tabulator.min.js")
    assert "sourceMappingURL" not in inline_scripts() + inline_styles()
    assert inline_scripts().count("</script>") == len(SCRIPTS)
    assert inline_styles().count("</style>") == len(STYLES)
