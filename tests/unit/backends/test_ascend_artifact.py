"""Which compiled artifact of a bundle runs, and how one of several om files does."""

import json
import os
import shutil
from dataclasses import replace

import numpy as np
import pytest

from inferry.backends.ascend import AscendBackend
from inferry.core.bundle import open_bundle
from inferry.core.compiled import find_compiled, write_compiled
from inferry.core.errors import BackendError, BundleError
from inferry.core.protocols import SessionOptions
from inferry.pipeline.gears import plan_gears

SIZES = {"samples": (2000, 4000)}


@pytest.fixture(scope="module")
def made(compile_for_npu, tiny_bundle):
    """A bundle that is compiled; what tests change they put back."""
    return compile_for_npu(tiny_bundle, sizes=SIZES, batch_sizes=(1, 2))


@pytest.fixture
def artifact(made):
    """Its artifact; as it was in the end."""
    (found,) = find_compiled(made.model, "ascend")
    yield found
    write_compiled(found)


@pytest.fixture
def open_bundled(acl):
    sessions = []

    def open_it(bundle, precision="fp32"):
        sessions.append(AscendBackend(module=acl).open(bundle.model, SessionOptions(precision)))
        return sessions[-1]

    yield open_it
    for session in sessions:
        session.close()


def feed(rows=1, length=2000):
    values = np.random.default_rng(3).standard_normal((rows, length)).astype(np.float32)
    return {"input_values": values, "input_lengths": np.full(rows, length, np.int64)}


def test_the_signature_names_the_artifact(made, artifact, open_bundled):
    session = open_bundled(made)
    assert session.signature()["om"] == artifact.key
    assert session.signature()["shapes"] == "dynamic dims"
    assert session.compiled == artifact


def test_nothing_compiled_gives_the_command(open_bundled, tiny_bundle):
    command = f"inferry compile {tiny_bundle.path} --backend ascend --soc Ascend310P3 --precision mixed"
    with pytest.raises(BackendError, match=f"nothing is compiled. Compile it: {command}"):
        open_bundled(tiny_bundle, "mixed")


def test_the_command_can_be_pasted_where_the_path_has_a_space(tmp_path, open_bundled, tiny_bundle):
    bundle = open_bundle(shutil.copytree(tiny_bundle.path, tmp_path / "my bundle"))
    with pytest.raises(BackendError, match=f"Compile it: inferry compile '{bundle.path}' --backend ascend --soc "):
        open_bundled(bundle)


def test_another_precision_is_not_taken_in_silence(made, artifact, open_bundled):
    with pytest.raises(BackendError, match=r"compiled for fp32, not fp16: ask for --precision fp32\. Or compile it: "):
        open_bundled(made, "fp16")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_sha256": "0"}, "was made from another graph"),
        ({"device": "Ascend910B3"}, "is compiled for Ascend910B3, and this chip is Ascend310P3"),
        ({"aipp": True}, "takes raw pixels"),
        ({"precision": "fp16"}, "is compiled for fp16, not fp32: ask for --precision fp16"),
    ],
)
def test_what_does_not_fit_is_not_opened(made, artifact, open_bundled, change, message):
    write_compiled(replace(artifact, **change))
    with pytest.raises(BackendError, match=message):
        open_bundled(made)


def test_a_command_that_did_not_run_is_no_om(made, artifact, open_bundled):
    write_compiled(replace(artifact, units=(replace(artifact.units[0], om=None),)))
    with pytest.raises(BackendError, match="was only written: atc did not run, or failed"):
        open_bundled(made)


@pytest.mark.parametrize("cut", [1000, None])
def test_a_damaged_om_is_refused_with_the_reason(made, artifact, open_bundled, cut):
    om = artifact.folder / artifact.units[0].om
    whole = om.read_bytes()
    om.write_bytes(whole[:cut] if cut else bytes(reversed(whole)))
    told = f"model.om has 1000 bytes, not {len(whole)}" if cut else r"the content of model.om is not .*\(sha256\)"
    with pytest.raises(BackendError, match=rf"{artifact.key} is damaged: {told}\. Compile it: inferry compile"):
        open_bundled(made)
    om.write_bytes(whole)
    assert open_bundled(made).signature()["om"] == artifact.key


def test_a_broken_artifact_is_named(made, artifact, open_bundled):
    (artifact.folder / "compiled.json").write_text("{")
    with pytest.raises(BundleError, match=rf"{artifact.key}.*is broken"):
        open_bundled(made)


def test_the_newest_runs(made, artifact, compile_for_npu, open_bundled):
    both = compile_for_npu(made, sizes={"samples": (3000,)})
    newest = find_compiled(both.model, "ascend")[-1]
    assert newest.key != artifact.key
    assert open_bundled(both).signature()["om"] == newest.key
    os.utime(newest.folder / "compiled.json", (0, 0))
    assert open_bundled(both).signature()["om"] == artifact.key


def test_one_om_a_shape_runs_as_one(made, artifact, compile_for_npu, open_bundled, tiny_bundle):
    split = compile_for_npu(tiny_bundle, sizes=SIZES, batch_sizes=(1, 2), split=True)
    whole, parts = open_bundled(made), open_bundled(split)
    assert len(parts.compiled.units) == len(plan_gears(split.manifest, sizes=SIZES, batch_sizes=(1, 2)).gears) == 4
    for rows, length in [(1, 2000), (2, 1500), (1, 4000), (2, 2001)]:
        expected, found = whole.run(feed(rows, length)), parts.run(feed(rows, length))
        assert found.keys() == expected.keys()
        for name, value in expected.items():
            np.testing.assert_allclose(found[name], value, rtol=0, atol=1e-5, strict=True)
    with pytest.raises(BackendError, match=r"no shape of this om takes.*\(1, 2000\).*\(2, 4000\)"):
        parts.run(feed(3, 2000))
    with pytest.raises(BackendError, match="takes the inputs"):
        parts.run({"input_values": np.zeros((1, 2000), np.float32)})
    parts.close()
    with pytest.raises(BackendError, match="closed"):
        parts.run(feed())


def test_halves_at_the_border_are_made_here(compile_for_npu, open_bundled, tiny_bundle, made, artifact):
    half = compile_for_npu(tiny_bundle, sizes=SIZES, batch_sizes=(2,), fp16_inputs=True, precision="fp16")
    found, expected = open_bundled(half, "fp16").run(feed()), open_bundled(made).run(feed())
    assert found["logits"].dtype == np.float32
    drift = np.abs(found["logits"] - expected["logits"]).max()
    assert 0 < drift < 0.05
    with pytest.raises(BackendError, match="takes float16 or float32, not float64"):
        open_bundled(half, "fp16").run({**feed(), "input_values": np.zeros((1, 2000))})


def test_the_artifact_is_no_part_of_the_bundle(made):
    assert open_bundle(made.path).digest == made.digest
    assert "compiled" not in json.loads((made.path / "manifest.json").read_text())["files"]
