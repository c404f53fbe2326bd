import onnx
import pytest

from inferry.core.atc_operators import KNOWN

ASCENDS_OWN = {"AscendQuant", "AscendDequant"}
"""What Ascend's quantisation writes into ONNX's own domain, and CANN parses."""


def test_every_name_is_one_of_onnx_or_of_ascends_quantisation():
    names = {schema.name for schema in onnx.defs.get_all_schemas_with_history() if not schema.domain}
    assert KNOWN - names == ASCENDS_OWN


@pytest.mark.parametrize("name", ["Conv", "LSTM", "LayerNormalization", "ArgMax", "CumSum", "LogSoftmax", "Unique"])
def test_the_spelling_is_that_of_onnx(name):
    assert name in KNOWN


@pytest.mark.parametrize("name", ["Loop", "Scan", "SequenceMap", "QLinearConv", "StringNormalizer", "Gelu"])
def test_what_no_source_names_is_not_known(name):
    assert name not in KNOWN
