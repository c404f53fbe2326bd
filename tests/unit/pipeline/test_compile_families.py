"""Every family's bundle, compiled."""

import os
import shutil
from dataclasses import replace

import pytest

from inferry.core.bundle import open_bundle
from inferry.core.compiled import read_compiled
from inferry.pipeline.compile import CompileOptions, compile_bundle
from inferry.pipeline.compiling.running import LOG

P3 = "Ascend310P3"
SIZES = {"samples": (16_000, 48_000), "time": (101, 301), "tokens": (16,), "boxes": (5, 10)}


@pytest.fixture(scope="module")
def families(tiny_bundles, picture_bundle, question_bundle):
    """A bundle of each family."""
    return (*tiny_bundles.values(), picture_bundle, question_bundle)


@pytest.mark.parametrize("soc", ["Ascend310P3", "Ascend310B4", "Ascend910B3"])
@pytest.mark.parametrize("precision", ["fp32", "fp16"])
@pytest.mark.parametrize("batch_sizes", [(1,), (1, 4)])
def test_every_family_gives_a_clean_command(families, tmp_path, soc, precision, batch_sizes):
    for bundle in families:
        options = CompileOptions(soc, precision=precision, sizes=sizes_of(bundle), batch_sizes=batch_sizes)
        made = compile_bundle(bundle, options, folder=tmp_path, run=False)
        assert made.problems == (), bundle.manifest.family


def sizes_of(bundle):
    dims = {dim for spec in bundle.manifest.inputs for dim in spec.dims}
    return {name: values for name, values in SIZES.items() if name in dims}


def test_every_family_compiles_on_the_simulated_atc(families, cann, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", f"{cann.install(tmp_path)}:{os.environ['PATH']}")
    for bundle in families:
        folder = tmp_path / bundle.manifest.family
        folder.mkdir()
        options = CompileOptions(P3, precision="fp16", sizes=sizes_of(bundle), batch_sizes=(1, 4))
        made = compile_bundle(bundle, options, folder=folder, model=os.path.relpath(bundle.model, folder))
        assert made.compiled.is_complete, (folder / LOG).read_text(encoding="utf-8")


def test_what_is_not_compiled_is_said(families, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    notes = [
        compile_bundle(bundle, CompileOptions(P3, sizes=sizes_of(bundle)), folder=tmp_path).notes for bundle in families
    ]
    assert notes == [*[()] * 4, ("detector: not compiled, runs on ONNX Runtime while the inputs are made",)]


def test_an_om_with_aipp_takes_uint8_pictures(picture_bundle, cann, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", f"{cann.install(tmp_path)}:{os.environ['PATH']}")
    bundle = open_bundle(shutil.copytree(picture_bundle.path, tmp_path / "bundle"))
    options = CompileOptions(P3, precision="fp16", batch_sizes=(1, 4), aipp=True)
    notes = compile_bundle(bundle, replace(options, precision="fp32"), run=False).notes
    assert [note.partition(" ")[0] for note in notes] == ["AIPP,", "AIPP"]
    assert notes[0].startswith("AIPP, emulated: all 256 values of a pixel become what the preprocessing makes of them")
    made = compile_bundle(bundle, options).compiled
    assert made.is_complete, (made.folder / LOG).read_text(encoding="utf-8")
    assert made.aipp
    assert [(spec.dtype, spec.dims) for spec in made.inputs] == [("uint8", ("batch", 48, 48, 3))]
    assert "--insert_op_conf=aipp.cfg" in made.units[0].command
    assert "--input_format=NCHW" in made.units[0].command
    assert (made.folder / "aipp.cfg").is_file()
    assert read_compiled(made.folder) == made
