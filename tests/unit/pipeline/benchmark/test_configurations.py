import pytest

from inferry.core.errors import UsageError
from inferry.core.protocols import OldRecipe
from inferry.pipeline.benchmark import configurations as bench_configurations
from inferry.pipeline.benchmark.configurations import configurations, with_recipe


@pytest.fixture(autouse=True)
def machine(monkeypatch):
    monkeypatch.setattr(bench_configurations, "available_threads", lambda: 4)


def test_every_combination_in_the_order_given():
    made = configurations(["x", "y"], ["fp32", "int8"], [1, 2])
    assert [(one.backend, one.precision, one.threads) for one in made] == [
        (backend, precision, threads) for backend in "xy" for precision in ("fp32", "int8") for threads in (1, 2)
    ]
    assert made[0].name == "x fp32, 1 thread"
    assert (made[3].options.precision, made[3].options.threads) == ("int8", 2)


def test_the_same_twice_has_two_names():
    assert [one.name for one in configurations(["x"], ["fp32"], [2, 2])] == [
        "x fp32, 2 threads",
        "x fp32, 2 threads (again, 2)",
    ]


def test_no_threads_given_is_all_there_are():
    assert [one.threads for one in configurations(["x"], ["fp32"], [])] == [4]


def test_a_network_on_a_device_has_no_threads_of_the_processor():
    (alone,) = configurations(["npu"], ["fp16"], [], ["npu"])
    assert (alone.name, alone.network_threads, alone.options.threads) == ("npu fp16", 1, 4)
    assert [(one.name, one.network_threads) for one in configurations(["npu", "x"], ["fp16"], [1, 2], ["npu"])] == [
        ("npu fp16, 1 thread beside it", 1),
        ("npu fp16, 2 threads beside it", 1),
        ("x fp16, 1 thread", 1),
        ("x fp16, 2 threads", 2),
    ]
    assert [one.name for one in configurations(["npu"] * 2, ["fp16"], [1], ["npu"])] == [
        "npu fp16",
        "npu fp16 (again, 2)",
    ]


@pytest.mark.parametrize("threads", [0, 5, 400])
def test_threads_that_the_process_does_not_have_are_refused(threads):
    with pytest.raises(UsageError, match=rf"--threads {threads}: this process may use 1 to 4 threads"):
        configurations(["x"], ["fp32"], [1, threads])


def test_the_recipe_is_opened_as_the_first_one():
    recipe = OldRecipe(7, true_outputs=False, source="a test")
    own = configurations(["x"], ["fp32"], [1, 2])
    made = with_recipe(own, recipe)
    assert made[:-1] == own
    assert (made[-1].threads, made[-1].recipe) == (1, recipe)
    assert made[-1].name == "recipe, x fp32, 1 thread"
