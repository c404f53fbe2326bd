"""The atc lines in docs/ascend-recipes.md: those of the recipes as they are judged, ours as they are written."""

import re
import shlex

import pytest
from typer.testing import CliRunner

from inferry.ascend.atc_command import parse_command
from inferry.ascend.atc_lint import lint
from inferry.cli.main import app
from inferry.core.compiled import read_compiled

PAIR = re.compile(r"```\n(atc [^\n]+)\n```\n\n`(inferry compile BUNDLE [^`]+)`:\n\n```\n(atc [^\n]+)\n```")
SECTION = re.compile(r"^### (\S+)$", re.MULTILINE)
TINY = {"beit": ("224,224", "48,48"), "vilbert-vqa": ("43,1024", "43,24")}
"""The bundles of the tests are small where the published checkpoints are large: a size of each, there and here."""


@pytest.fixture(scope="module")
def page(repository):
    return (repository / "docs" / "ascend-recipes.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def pairs(page):
    """Family, recipe's line, our command, the line that it writes."""
    parts = SECTION.split(page)
    return [
        (family, *pair) for family, text in zip(parts[1::2], parts[2::2], strict=True) for pair in PAIR.findall(text)
    ]


@pytest.fixture(scope="module")
def bundles(tiny_bundles, picture_bundle, question_bundle):
    return {**tiny_bundles, "beit": picture_bundle, "vilbert-vqa": question_bundle}


def test_every_family_has_a_recipe(pairs, bundles):
    assert {family for family, *_ in pairs} == set(bundles)
    assert len(pairs) == 6


def test_the_page_says_what_compile_writes(pairs, bundles, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    for index, (family, _, ours, line) in enumerate(pairs):
        copy = tmp_path / str(index)
        copy.mkdir()
        for file in bundles[family].path.iterdir():
            if file.is_file():
                (copy / file.name).symlink_to(file)
        arguments = [str(copy) if word == "BUNDLE" else word for word in shlex.split(ours)[1:]]
        done = CliRunner().invoke(app, [*arguments, "--no-emulate"])
        assert done.exit_code == 0, done.output
        (folder,) = (copy / "compiled" / "ascend").iterdir()
        wanted = line.replace(*TINY.get(family, ("", "")))
        assert list(read_compiled(folder).units[0].command) == shlex.split(wanted)


JUDGED = {
    "wav2vec2-base-960h": ["E10001"],  # Ascend710
    "wav2vec2_modified": ["E10001", "E10014"],  # op_precision.ini is not here, and a variable stands for a size
    "data2vec_new": ["E10001", "E10001", "E10014"],
    "deepspeech": ["E10001"],
    "beit_mg_bs8": ["E10001"],
    "vqa-vilbert_bs1_sim_modify": [],
}


def test_the_linter_reads_the_recipes(pairs, tmp_path):
    for _, recipe, _, _ in pairs:
        command = parse_command(shlex.split(recipe))
        model = command.get("model").rpartition("/")[2].removesuffix(".onnx")
        assert sorted({p.code for p in lint(command, None, None, folder=tmp_path)}) == sorted(set(JUDGED[model])), model


def test_a_recipe_with_its_variables_filled_in_is_clean(pairs, tmp_path):
    (tmp_path / "op_precision.ini").write_text("[ByOpType]\nGelu=high_performance\n", encoding="utf-8")
    chip = "Ascend310P3"
    for _, recipe, _, _ in pairs:
        filled = recipe.replace("Ascend${chip_name}", chip).replace("${chip_name}", chip).replace("{chip_name}", chip)
        filled = filled.replace("${bs}", "8").replace("Ascend710", chip)
        assert lint(parse_command(shlex.split(filled)), None, None, folder=tmp_path) == (), recipe


def test_the_file_of_the_wav2vec2_recipe_is_not_in_the_documented_format(tmp_path):
    (tmp_path / "op_precision.ini").write_text("Gelu = high_performance\n", encoding="utf-8")
    line = "--model=m.onnx --framework=5 --output=m --soc_version=Ascend310P3 --op_precision_mode=op_precision.ini"
    (problem,) = lint(parse_command(line.split()), None, None, folder=tmp_path)
    assert problem.code == "E10001"
    assert "[ByOpType]" in problem.fix
