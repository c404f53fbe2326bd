import pytest

from inferry.cli.shapes import job_options, numbers_of, sizes_of
from inferry.core.errors import UsageError
from inferry.pipeline.jobs.target import JobOptions


def test_sizes_and_numbers():
    assert sizes_of(["tokens=16, 32", "boxes=100"]) == {"tokens": (16, 32), "boxes": (100,)}
    assert (sizes_of(None), numbers_of("--batch-sizes", None)) == ({}, ())
    assert numbers_of("--batch-sizes", "1,4") == (1, 4)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["tokens"], "'tokens' is not NAME=NUMBER"),
        (["=3"], "'=3' is not NAME=NUMBER"),
        (["tokens=1", "tokens=2"], "gives tokens twice"),
        (["tokens=0"], r"--sizes tokens '0': '0' is no whole number of 1 or more"),
        (["tokens=1,,2"], "'' is no whole number"),
        (["tokens=-1"], "'-1' is no whole number"),
        (["tokens=½"], "'½' is no whole number"),
    ],
)
def test_what_is_no_size(words, message):
    with pytest.raises(UsageError, match=message):
        sizes_of(words)


def test_options_of_a_job():
    wanted = JobOptions(sizes={"tokens": (16,)}, batch_sizes=(1, 4), limit=3, aipp=True)
    assert job_options(None, ["tokens=16"], "1,4", limit=3, aipp=True) == wanted
