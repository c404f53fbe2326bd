import pytest

from inferry.core.errors import UsageError
from inferry.metrics.normalisation import normalisation


@pytest.mark.parametrize(
    ("text", "upper"),
    [
        ("Hello, world!", "HELLO WORLD"),
        ("  two \t words\n", "TWO WORDS"),
        ("don\N{RIGHT SINGLE QUOTATION MARK}t and don't", "DON'T AND DON'T"),
        ("well-known—truly", "WELL KNOWN TRULY"),
        ("and/or", "AND OR"),
        ("“Über” 5 €", "ÜBER 5"),
        ("...", ""),
        ("", ""),
    ],
)
def test_upper(text, upper):
    assert normalisation("upper")(text) == upper
    assert normalisation("upper")(upper) == upper


def test_none_changes_nothing():
    assert normalisation("none")("  Hello,  World ") == "  Hello,  World "


def test_an_unknown_name_lists_the_known():
    with pytest.raises(UsageError, match="'lower'; choose one of: none, upper"):
        normalisation("lower")
