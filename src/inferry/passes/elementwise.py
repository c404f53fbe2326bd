"""ONNX's operators that compute each element of their output from one element of each input."""

from typing import Final

_UNARY: Final = """
Abs Acos Acosh Asin Asinh Atan Atanh BitwiseNot Cast Ceil Celu Clip Cos Cosh Elu Erf Exp Floor Gelu HardSigmoid
HardSwish Identity IsInf IsNaN LeakyRelu Log Mish Neg Not Reciprocal Relu Round Selu Shrink Sigmoid Sign Sin Sinh
Softplus Softsign Sqrt Swish Tan Tanh ThresholdedRelu
"""
_BROADCAST: Final = """
Add And BitwiseAnd BitwiseOr BitwiseXor BitShift Div Equal Greater GreaterOrEqual Less LessOrEqual Max Mean Min Mod Mul
Or PRelu Pow Sub Sum Where Xor
"""

UNARY: Final = frozenset(_UNARY.split())
"""One tensor; further inputs are numbers that hold everywhere (the limits of Clip)."""

BROADCAST: Final = frozenset(_BROADCAST.split())
"""Several tensors, whose shapes are aligned at their last axes."""
