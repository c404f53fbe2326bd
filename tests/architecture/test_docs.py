"""The documentation names only what exists, and names all of what a user meets."""

import importlib
import re
from dataclasses import fields
from pathlib import Path

import pytest

from inferry.cli.main import app
from inferry.core import errors
from inferry.core.bundle import FileEntry, Manifest
from inferry.core.runs import ERRORS, METRICS, PREDICTIONS, RUN, TIMINGS
from inferry.core.samples import Rejected, Transcription
from inferry.core.specs import TensorSpec
from inferry.datasets.registry import LAYOUTS
from inferry.metrics.error_rates import score_speech
from inferry.metrics.scores import Utterance
from inferry.models.registry import family_names, get_recipe
from inferry.pipeline.engine import Tally
from inferry.pipeline.parity import Hop

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "examples/**/*.md", "benchmarks/**/*.md")
    for path in REPOSITORY.glob(pattern)
)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
VERB = re.compile(r"\binferry ([a-z]+(?:-[a-z]+)*)\b")
FILE = re.compile(r"`((?:src|tests|docs|examples|scripts|benchmarks)/[\w./-]+)`")
STAGE = re.compile(r"\| `(\w+)` \|.*\| `(src/inferry/[\w/]+\.py)` \|$", re.MULTILINE)
VERBS = {command.name for command in app.registered_commands}


def read(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def code_of(text: str) -> str:
    """What stands in back-quotes or in a fenced block: prose may say "Inferry reads" or "inferry is"."""
    return "\n".join(re.findall(r"```.*?```|`[^`\n]+`", text, re.DOTALL))


@pytest.fixture(params=PAGES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def page(request) -> Path:
    return request.param


def test_there_are_pages():
    names = {str(path.relative_to(REPOSITORY)) for path in PAGES}
    assert {"README.md", "CONTRIBUTING.md", "docs/architecture.md"} <= names


def test_links_resolve(page):
    targets = [link.partition("#")[0] for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    broken = [target for target in targets if target and not (page.parent / target).exists()]
    assert not broken


def test_files_that_are_named_exist(page):
    missing = [name for name in FILE.findall(page.read_text(encoding="utf-8")) if not (REPOSITORY / name).exists()]
    assert not missing


def test_verbs_that_are_named_exist(page):
    assert set(VERB.findall(code_of(page.read_text(encoding="utf-8")))) <= VERBS


@pytest.mark.parametrize("name", ["README.md", "docs/architecture.md"])
def test_every_verb_is_named(name):
    assert set(VERB.findall(code_of(read(name)))) == VERBS


def test_the_readme_has_every_family_and_preset_with_its_accuracy():
    rows = [line for line in read("README.md").splitlines() if line.startswith("|")]
    for family in family_names():
        recipe = get_recipe(family)
        assert any(f"| `{family}` |" in row for row in rows)
        for preset in recipe.presets:
            assert any(
                all(text in row for text in (f"`{preset.name}`", preset.accuracy, preset.source)) for row in rows
            )


def test_the_readme_has_every_layout():
    text = read("README.md")
    assert [layout.kind for layout in LAYOUTS if f"| `{layout.kind}` |" not in text] == []


def test_the_stage_table_names_functions_that_exist():
    stages = STAGE.findall(read("docs/architecture.md"))
    assert len(stages) == len(VERBS) + 2, "a verb each, the self-check of export, and `inferry.load`"
    for function, file in stages:
        module = file.removeprefix("src/").removesuffix(".py").replace("/", ".")
        assert callable(getattr(importlib.import_module(module), function))


def test_the_folder_map_has_every_folder():
    text = read("docs/architecture.md")
    folders = {path.parent.name for path in (REPOSITORY / "src" / "inferry").glob("*/__init__.py")}
    assert {folder for folder in folders if f"| `src/inferry/{folder}` |" not in text} == set()


def test_the_formats_are_described_field_by_field():
    score = score_speech([Utterance("a", "ONE TWO", "ONE")]).to_json()
    names = {
        *(field.name for kind in (FileEntry, Manifest, TensorSpec) for field in fields(kind)),
        *Tally().to_json(),
        *Tally().stages,
        *Hop("a", skipped="b").to_json(),
        *Hop("a").to_json(),
        *Rejected("a", "b", "read", "c").to_json(),
        *Transcription("a", 1).to_json(),
        *score,
        *score["wer"],
        *score["rows"][0],
        *(RUN, PREDICTIONS, ERRORS, METRICS, TIMINGS),
    }
    text = read("docs/architecture.md")
    assert {name for name in names if f"`{name}`" not in text} == set()


def test_every_exit_code_is_in_the_readme():
    classes = [value for value in vars(errors).values() if isinstance(value, type)]
    codes = {0, 130, *(kind.exit_code for kind in classes if issubclass(kind, errors.InferryError))}
    assert {code for code in codes if f"| {code} |" not in read("README.md")} == set()


def test_decisions_are_numbered_without_gaps():
    names = sorted(path.name for path in (REPOSITORY / "docs" / "decisions").glob("*.md"))
    assert [name[:4] for name in names] == [f"{number:04}" for number in range(1, len(names) + 1)]
    for name in names:
        text = read(f"docs/decisions/{name}")
        assert text.startswith(f"# {int(name[:4])}. ")
        assert re.findall(r"^## (\w+)$", text, re.MULTILINE) == ["Context", "Decision", "Consequence"]
