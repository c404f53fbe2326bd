import onnx
import pytest

from inferry.core.atc_operators import KNOWN


def test_every_name_is_one_of_onnx():
    names = {schema.name for schema in onnx.defs.get_all_schemas_with_history() if not schema.domain}
    assert names >= KNOWN


@pytest.mark.parametrize("name", ["Conv", "LSTM", "LayerNormalization", "ArgMax", "CumSum", "LogSoftmax", "Unique"])
def test_the_spelling_is_that_of_onnx(name):
    assert name in KNOWN


@pytest.mark.parametrize("name", ["Loop", "Scan", "SequenceMap", "QLinearConv", "StringNormalizer", "Gelu"])
def test_what_no_source_names_is_not_known(name):
    assert name not in KNOWN
