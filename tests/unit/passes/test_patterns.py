import numpy as np
import onnx_ir as ir
import pytest

from inferry.passes.patterns import is_about, made_by, number, other_input, the_user


def value(array):
    return ir.Value(name="c", const_value=ir.Tensor(array, name="c"))


@pytest.fixture
def model(parsed):
    body = "a = Mul (x, half) b = Add (a, a) c = Exp (b) y = Neg (c) z = Relu (y)"
    made = parsed(body, "float16[3] x", {"half": np.float16([0.5])}, outputs="y, z")
    made.graph[2].domain = "another"
    return made


def test_numbers(model):
    assert number(value(np.float16([0.5]))) == 0.5
    assert number(value(np.array(3, np.int64))) == 3
    assert number(value(np.float32([[2]]))) is None
    assert number(value(np.float32([2, 2]))) is None
    assert number(model.graph.inputs[0]) is None
    assert number(None) is None


def test_a_number_is_as_near_as_its_dtype_allows(model):
    third = value(np.array(1 / 3, np.float16))
    assert number(third) != 1 / 3
    assert is_about(third, 1 / 3)
    assert not is_about(third, 0.3345)
    assert not is_about(value(np.array(3, np.int64)), 3.0)
    assert not is_about(model.graph.inputs[0], 3.0)


def test_makers_and_users(model):
    mul, add, foreign, neg, _ = model.graph
    assert made_by(mul.outputs[0], "Add", "Mul") is mul
    assert made_by(mul.outputs[0], "Add") is None
    assert made_by(foreign.outputs[0], "Exp") is None, "it is another domain's"
    assert made_by(mul.inputs[0], "Mul") is None
    assert made_by(None, "Mul") is None
    assert the_user(add.outputs[0]) is foreign
    assert the_user(mul.outputs[0]) is None, "it is read twice"
    assert the_user(neg.outputs[0]) is None, "it is an output too"
    assert other_input(mul, mul.inputs[0]) is mul.inputs[1]
    assert other_input(mul, mul.inputs[1]) is mul.inputs[0]
    assert other_input(add, add.inputs[0]) is add.inputs[0]
