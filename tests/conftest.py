"""Fixtures that several test folders need."""

import os
import shutil
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import settings

from inferry.backends.ascend_runtime import Acl, shutdown
from inferry.core.bundle import open_bundle
from inferry.pipeline.compile import CompileOptions, compile_bundle
from inferry.pipeline.export import export

# A landing must not hang on a random draw: CI takes the same examples every time, developers look for new ones.
settings.register_profile("ci", derandomize=True)
if os.environ.get("CI"):
    settings.load_profile("ci")

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with golden data, real audio and small trained checkpoints; tests that need it skip without it."""
    folder = Path(os.environ.get("INFERRY_SHARED", REPOSITORY.parent / "shared"))
    if not (folder / "golden").is_dir():
        pytest.skip(f"no golden data: {folder} does not exist (set INFERRY_SHARED)")
    return folder


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the checkout."""
    return REPOSITORY


# The last place: what is installed wins over a file of the same name. The simulated programs import each other alike.
sys.path.append(str(REPOSITORY / "tests" / "support"))


def _support(name: str) -> ModuleType:
    return import_module(name)


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    """`tests/support/speech.py`: tiny checkpoints, bundles and data sets."""
    return _support("speech")


@pytest.fixture(scope="session")
def pictures() -> ModuleType:
    """`tests/support/pictures.py`: tiny classifiers and pictures."""
    return _support("pictures")


@pytest.fixture(scope="session")
def asking() -> ModuleType:
    """`tests/support/questions.py`: a tiny ViLBERT and its detector, pictures and questions."""
    return _support("questions")


@pytest.fixture(scope="session")
def ais_bench() -> ModuleType:
    """`tests/support/ais_bench.py`: a simulator of ais_bench's files."""
    return _support("ais_bench")


@pytest.fixture(scope="session")
def cann() -> ModuleType:
    """`tests/support/cann.py`: simulated programs `atc` and `ais_bench` for the PATH."""
    return _support("cann")


@pytest.fixture(scope="session")
def on_npu() -> ModuleType:
    """`tests/support/jobs.py`: runs a job folder through the simulators of ais_bench and msame."""
    return _support("jobs")


@pytest.fixture(scope="session")
def attention() -> ModuleType:
    """`tests/support/attention.py`: small graphs with attention."""
    return _support("attention")


@pytest.fixture(scope="session")
def npu() -> ModuleType:
    """`tests/support/acl_simulator.py`: a stand-in for CANN's module `acl`, and om files that it runs."""
    return _support("acl_simulator")


@pytest.fixture
def installed_acl(npu, monkeypatch):
    """The simulator of `acl` as the installed module; everything must be freed and nothing misused in the end."""
    simulator = npu.AclSimulator()
    monkeypatch.setitem(sys.modules, "acl", simulator)
    yield simulator
    shutdown(Acl(simulator))
    assert simulator.errors == []


@pytest.fixture(scope="session")
def compile_for_npu(cann, tmp_path_factory):
    """Copy a bundle and compile it with the simulated atc: `compile_for_npu(bundle, **as_for_CompileOptions)`."""
    programs = cann.install(tmp_path_factory.mktemp("cann"))

    def made(bundle, **options):
        folder = tmp_path_factory.mktemp("compiled") / "bundle"
        copied = open_bundle(shutil.copytree(bundle.path, folder))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("PATH", str(programs), prepend=os.pathsep)
            result = compile_bundle(copied, CompileOptions(**{"soc": "Ascend310P3", **options}))
        assert not result.failed, [*result.problems, *result.readings]
        return copied

    return made


@pytest.fixture(scope="session")
def picture_bundle(pictures, tmp_path_factory):
    """The bundle of a tiny BEiT. Read only."""
    folder = tmp_path_factory.mktemp("pictures")
    return export("beit", pictures.write_beit(folder / "beit"), folder / "bundle", reference=False)


@pytest.fixture(scope="session")
def question_bundle(asking, tmp_path_factory):
    """The bundle of a tiny ViLBERT with its detector. Read only."""
    return asking.write_bundle(tmp_path_factory.mktemp("questions"))


@pytest.fixture(scope="session")
def tiny_bundles(tiny, tmp_path_factory):
    """A bundle of each family with tiny random weights, by family. Read only."""
    folder = tmp_path_factory.mktemp("bundles")
    return {family: tiny.write_bundle(family, folder) for family in tiny.FAMILIES}


@pytest.fixture(scope="session")
def tiny_bundle(tiny_bundles):
    """The wav2vec2 one of `tiny_bundles`."""
    return tiny_bundles["wav2vec2"]
