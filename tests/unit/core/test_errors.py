import inspect

import pytest

from inferry.core import errors
from inferry.core.errors import CheckpointError, InferryError, MissingDependencyError, SampleError


def test_every_error_stands_in_the_tree_at_the_top():
    found = [value for value in vars(errors).values() if inspect.isclass(value) and issubclass(value, InferryError)]
    assert len(found) == 11
    assert all(value.__name__ in errors.__doc__ for value in found)
    assert {value.__name__: value.exit_code for value in found if value.exit_code != 1} == {"UsageError": 2}


@pytest.mark.parametrize(("problems", "count"), [(["a"], "1 problem in"), (["a", "b"], "2 problems in")])
def test_a_checkpoint_lists_all_problems(problems, count):
    error = CheckpointError("file.ckpt", problems, "do this")
    assert count in str(error)
    assert all(f"  - {problem}" in str(error) for problem in problems)
    assert str(error).endswith("What to do: do this")
    assert "What to do" not in str(CheckpointError("file.ckpt", problems))


def test_messages_carry_what_they_are_made_of():
    assert "pip install torch" in str(MissingDependencyError("torch", "the comparison", "pip install torch"))
    assert str(SampleError("read", "broken")) == "read: broken"
