import pytest


@pytest.fixture
def memory(repository, monkeypatch):
    monkeypatch.syspath_prepend(str(repository / "benchmarks"))
    import memory

    return memory


@pytest.mark.parametrize("count", [100, 1000])
def test_lengths_cover_half_a_second_to_three_seconds(memory, count):
    found = memory.lengths(count)
    assert len(found) == count
    assert 8_000 <= min(found) < 8_800
    assert 47_200 < max(found) <= 48_000
    assert found != sorted(found)


def test_the_few_and_the_many_have_equally_long_sounds(memory):
    # Otherwise the longest batch, not the number of sounds, would decide the peak.
    few, many = sorted(memory.lengths(100))[-8:], sorted(memory.lengths(1000))[-8:]
    assert min(many) / min(few) < 1.1
