import gzip
import re

import pytest

from inferry.core.errors import UsageError
from inferry.processing.arpa import END, START, UNKNOWN, read_arpa

TRIGRAMS = """\
Some words about the model.

\\data\\
ngram 1=6
ngram 2=5
ngram 3=2

\\1-grams:
-1.5	<unk>	-0.2
-99	<s>	-0.35
-1.1	</s>
-0.7	ONE	-0.25
-0.8	TWO	-0.4
-0.9	TOO	-0.15

\\2-grams:
-0.3	<s> ONE	-0.05
-0.4	ONE TWO	-0.6
-0.5	TWO </s>
-0.45	TWO TOO	-0.12
-0.65	<unk> ONE	-0.33

\\3-grams:
-0.1	<s> ONE TWO
-0.2	ONE TWO </s>

\\end\\
"""
KENLM = {
    "": [-1.45],
    "ONE": [-0.3, -1.4],
    "ONE TWO": [-0.3, -0.1, -0.2],
    "TWO ONE": [-1.15, -1.1, -1.35],
    "ONE TWO TOO": [-0.3, -0.1, -1.05, -1.37],
    "TWO TWO TOO ONE": [-1.15, -1.2, -0.45, -0.97, -1.35],
    "SIX ONE TWO": [-1.85, -0.65, -0.73, -0.2],
    "ONE SIX": [-0.3, -1.8, -1.3],
    "ONE TWO SIX SIX TOO": [-0.3, -0.1, -2.5, -1.7, -1.1, -1.25],
    "TOO TWO": [-1.25, -0.95, -0.5],
}
"""What ``full_scores(sentence, bos=True, eos=True)`` of kenlm 0.3.0 gives for `TRIGRAMS`; the last one is ``</s>``."""

AN4_KENLM = {"": 0.0, "ONE": -4.0506, "TWO TWO TOO ONE": -10.1265, "ONE TWO SIX SIX TOO": -12.1518}
"""``score(sentence, bos=True, eos=True)`` of kenlm 0.3.0 for an4.ug.lm, its introduction cut off (kenlm refuses it)."""


@pytest.fixture
def write(tmp_path):
    def write(text, name="model.arpa"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def scores(model, sentence):
    known, context, found = {*model.words, END}, (START,), []
    for word in [*sentence.split(), END]:
        one = word if word in known else UNKNOWN
        found.append(model.log10(context, one))
        context = (*context, one)
    return found


@pytest.mark.parametrize(("sentence", "expected"), KENLM.items(), ids=KENLM)
def test_probabilities_are_kenlm_s(write, sentence, expected):
    model = read_arpa(write(TRIGRAMS))
    assert model.order == 3
    assert set(model.words) == {"ONE", "TWO", "TOO"}
    assert scores(model, sentence) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("sentence", "expected"), AN4_KENLM.items(), ids=AN4_KENLM)
def test_the_an4_model_scores_as_in_kenlm(shared, sentence, expected):
    model = read_arpa(shared / "data" / "an4_test" / "etc" / "an4.ug.lm")
    assert (model.order, len(list(model.words))) == (2, 104)
    assert sum(scores(model, sentence)) == pytest.approx(expected, abs=1e-4)


def test_a_compressed_file_is_read_like_a_plain_one(write):
    packed = write(gzip.compress(TRIGRAMS.encode()), "model.arpa.gz")
    assert read_arpa(packed) == read_arpa(write(TRIGRAMS))


def test_a_file_of_windows_with_spaces_is_read_like_a_plain_one(write):
    other = TRIGRAMS.replace("\n", "\r\n").replace("\t", "  ").replace("<unk>", "<UNK>")
    assert read_arpa(write(other, "windows.arpa")) == read_arpa(write(TRIGRAMS))


def test_a_model_without_unknown_words_gives_them_its_least_probability(write):
    text = TRIGRAMS.replace("-1.5\t<unk>\t-0.2\n", "").replace("-0.65\t<unk> ONE\t-0.33\n", "")
    text = text.replace("1=6", "1=5").replace("2=5", "2=4")
    assert read_arpa(write(text)).log10((), UNKNOWN) == -1.1


def test_a_probability_of_0_is_a_number(write):
    assert read_arpa(write(TRIGRAMS.replace("-0.7\tONE", "-inf\tONE"))).log10((), "ONE") == -99


def test_words_can_be_respelled(write):
    model = read_arpa(write(TRIGRAMS))
    lower = model.respelled(str.lower)
    assert set(lower.words) == {"one", "two", "too"}
    assert scores(lower, "one two too") == pytest.approx(KENLM["ONE TWO TOO"])
    assert scores(lower, "six one two") == pytest.approx(KENLM["SIX ONE TWO"])
    merged = model.respelled(lambda word: word.replace("O", "").replace("W", ""))
    assert merged.log10((), "T") == -0.8, "the more probable of TWO and TOO"


BROKEN = {
    "no model at all": ("just a text\n", "ends before \\end\\: it is no ARPA file, or it was cut off"),
    "cut off": (TRIGRAMS[: TRIGRAMS.index("-0.65")], "ends before \\end\\: it is no ARPA file, or it was cut off"),
    "a word for a number": (
        TRIGRAMS.replace("-0.7\tONE", "x\tONE"),
        "line 12: found 'x\\tONE\\t-0.25'; expected a log10",
    ),
    "a positive logarithm": (TRIGRAMS.replace("-0.7\tONE", "0.7\tONE"), "line 12: found '0.7\\tONE"),
    "not a number": (TRIGRAMS.replace("-0.7\tONE", "nan\tONE"), "line 12: found 'nan\\tONE"),
    "a word too many": (
        TRIGRAMS.replace("\tONE TWO\t", "\tONE TWO TWO\t"),
        "line 18: found '-0.4\\tONE TWO TWO\\t-0.6'",
    ),
    "a word too few": (TRIGRAMS.replace("\tONE TWO\t-0.6", "\tONE"), "line 18: found '-0.4\\tONE'; expected a log10"),
    "twice the same": (TRIGRAMS.replace("\tTOO\t", "\tTWO\t"), "line 14: found '-0.9\\tTWO\\t-0.15'"),
    "fewer than counted": (TRIGRAMS.replace("1=6", "1=7"), "line 16: found '\\\\2-grams:'"),
    "more than counted": (TRIGRAMS.replace("3=2", "3=1"), "line 25: found '-0.2\\tONE TWO </s>'; expected \\end\\"),
    "an order left out": (TRIGRAMS.replace("ngram 2=5\n", ""), "line 5: found 'ngram 3=2'; expected ngram 2=COUNT"),
    "no end of sentence": (TRIGRAMS.replace("\t</s>", "\tEND").replace(" </s>", " END"), "one of them </s>"),
    "no UTF-8": (TRIGRAMS.encode().replace(b"ONE\t", b"\xff\t"), "line 12: found"),
}


@pytest.mark.parametrize(("text", "message"), BROKEN.values(), ids=BROKEN)
def test_a_broken_file_is_one_sentence_that_names_the_line(write, text, message):
    path = write(text)
    with pytest.raises(UsageError, match=f"{re.escape(str(path))}.*{re.escape(message)}"):
        read_arpa(path)


def test_a_file_that_cannot_be_read_is_refused(write, tmp_path):
    torn = write(gzip.compress(TRIGRAMS.encode())[:100], "torn.arpa.gz")
    for path in (torn, tmp_path, tmp_path / "nowhere.arpa"):
        with pytest.raises(UsageError, match=f"language model {re.escape(str(path))} cannot be read"):
            read_arpa(path)


def test_a_kenlm_binary_is_refused_with_the_way_out(write):
    binary = write(b"mmap lm http://kheafield.com/code format version 5\n\0" + bytes(64), "model.bin")
    with pytest.raises(UsageError, match=r"KenLM binary file, .*give the ARPA file that it was built from"):
        read_arpa(binary)
