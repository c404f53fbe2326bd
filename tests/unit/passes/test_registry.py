"""That a user finds every pass: by a wrong name, and in the documentation."""

import re
from pathlib import Path

import pytest

from inferry.core.errors import UsageError
from inferry.passes.registry import PASSES, TARGETS, get_pass

PAGE = Path(__file__).parents[3] / "docs" / "adding-a-pass.md"


def test_an_unknown_pass_lists_all():
    with pytest.raises(UsageError, match="unknown pass 'fuse'") as error:
        get_pass("fuse")
    listed = str(error.value).partition("available: ")[2].split(", ")
    assert set(PASSES) <= set(listed)


def test_the_documentation_lists_all_with_their_targets():
    rows = re.findall(r"^\| `([\w-]+)` \| .+ \| (.+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    listed = {name: {word for word in targets.split(", ") if word in TARGETS} for name, targets in rows}
    assert listed == {name: {key for key, one in TARGETS.items() if name in one.passes} for name in PASSES}
