import argparse

import pytest

from inferry.pipeline import bench as bench_module
from inferry.pipeline.benchmark.results import Startup


@pytest.fixture
def recipes(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    import recipes

    return recipes


def test_families_are_found_by_the_folders_name(recipes, tmp_path):
    names = ["wav2vec2-an4-small", "data2vec-audio-an4-small", "deepspeech2-an4-medium", "beit-small", "README.md"]
    found = [recipes._family(tmp_path / name) for name in names]
    assert found == ["wav2vec2", "data2vec-audio", "deepspeech2", None, None]


def test_a_lightning_file_goes_before_its_folder(recipes, tmp_path):
    assert recipes._file_of(tmp_path) == tmp_path
    (tmp_path / "x.ckpt").touch()
    assert recipes._file_of(tmp_path) == tmp_path / "x.ckpt"


def test_a_row_of_the_accuracy_table(recipes, tiny, tmp_path):
    checkpoint = tiny.write_folder(tmp_path / "wav2vec2-tiny")
    arguments = argparse.Namespace(an4=tiny.write_data(tmp_path / "data", 3), limit=None)
    cells = [cell.strip() for cell in recipes._accuracy_row(tmp_path, "wav2vec2", checkpoint, arguments).split("|")]
    assert cells[1:3] == ["wav2vec2-tiny", "3"]
    assert cells[5] == "0"
    assert cells[4] == cells[6]


def test_the_speed_table_holds_both_ways(recipes, tiny, tiny_bundle, tmp_path, monkeypatch):
    monkeypatch.setattr(bench_module, "measure_startup", lambda *_: Startup(1.0, 2_500_000_000))
    arguments = argparse.Namespace(data=tiny.write_data(tmp_path, 4), rounds=1, samples=4, limit=None)
    rows = [line for line in recipes._speed_table(tiny_bundle, arguments) if line.startswith("| ")][1:]
    cells = [[cell.strip() for cell in row.split("|")[1:-1]] for row in rows]
    assert [(one[0], one[1], one[5]) for one in cells] == [
        ("Inferry", "1", "2.50 GB"),
        ("Inferry", "4", "2.50 GB"),
        ("recipe", "1", "2.50 GB"),
    ]
    assert cells[-1][-1] == "1"
    # All four samples are far shorter than the recipe's 100,000.
    assert [float(cells[0][3]), float(cells[-1][3]) < 0.2] == [1.0, True]
