"""The operators of ONNX's own domain that atc is known to read.

There is no complete public list. These are the operators that CANN's documentation lists for ONNX models
(https://www.hiascend.com/doc_center/source/zh/canncommercial/800/apiref/aolapi/operatorlist_00176.html, CANN 8.0; in
ONNX's spelling), and those for which public sources of CANN register a parser (``REGISTER_CUSTOM_OP`` with
``ai.onnx::<version>::<name>``, read in November 2026), Ascend's own two of quantised models among them. Both change
with each release. QuantizeLinear is in neither, although DequantizeLinear is.
"""

from typing import Final

_DOCUMENTED: Final = """
Abs Acos Acosh Add And ArgMax ArgMin Asin Asinh Atan Atanh AveragePool BatchNormalization BitShift BitwiseAnd
BitwiseNot BitwiseOr BitwiseXor Cast Ceil Celu Clip Compress Concat Constant ConstantOfShape Conv ConvTranspose Cos
Cosh CumSum DepthToSpace Det Div Dropout Einsum Elu Equal Erf Exp Expand EyeLike Flatten Floor GRU Gather
GatherElements GatherND Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater GreaterOrEqual GridSample
HardSigmoid HardSwish Hardmax Identity If InstanceNormalization IsInf IsNaN LRN LSTM LayerNormalization LeakyRelu Less
LessOrEqual Log LogSoftmax LpNormalization LpPool MatMul Max MaxPool MaxRoiPool MaxUnpool Mean
MeanVarianceNormalization Min Mod Mul Multinomial Neg NonMaxSuppression NonZero Not OneHot Or PRelu Pad Pow
RandomNormal RandomNormalLike RandomUniform RandomUniformLike Range Reciprocal ReduceL1 ReduceL2 ReduceLogSum
ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Relu Reshape Resize
ReverseSequence RoiAlign Round Scatter ScatterElements ScatterND Selu Shape Shrink Sigmoid Sign Sin Sinh Size Slice
Softmax SoftmaxCrossEntropyLoss Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh TfIdfVectorizer
ThresholdedRelu Tile TopK Transpose Trilu Unsqueeze Where Xor
"""

_REGISTERED: Final = """
AscendDequant AscendQuant Bernoulli Col2Im ConcatFromSequence DequantizeLinear DynamicQuantizeLinear MatMulInteger
SequenceAt SequenceConstruct SequenceEmpty SequenceErase SequenceInsert SequenceLength SplitToSequence Unique Upsample
"""

KNOWN: Final = frozenset((_DOCUMENTED + _REGISTERED).split())
"""Names in ONNX's spelling, whatever the version."""
