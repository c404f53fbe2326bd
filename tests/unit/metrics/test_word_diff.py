from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.metrics.error_rates import score_speech
from inferry.metrics.scores import Utterance
from inferry.metrics.word_diff import Span, word_diff

TEXTS = st.lists(st.sampled_from(["ONE", "TWO", "THREE", "FOUR"]), max_size=8).map(" ".join)


@pytest.mark.parametrize(
    ("reference", "hypothesis", "spans", "edits"),
    [
        ("A B C", "A B C", [("A B C", "A B C")], 0),
        ("A B C", "A X C", [("A", "A"), ("B", "X"), ("C", "C")], 1),
        ("A B C", "A C", [("A", "A"), ("B", ""), ("C", "C")], 1),
        ("A C", "A B C", [("A", "A"), ("", "B"), ("C", "C")], 1),
        ("A B", "X Y Z", [("A B", "X Y Z")], 3),
        ("", "", [], 0),
        ("", "A B", [("", "A B")], 2),
        ("<s>", "</s>", [("<s>", "</s>")], 1),
    ],
)
def test_spans_and_edits(reference, hypothesis, spans, edits):
    diff = word_diff(reference, hypothesis)
    assert diff.spans == tuple(Span(*pair) for pair in spans)
    assert diff.edits == edits
    assert diff.words == len(reference.split())


@given(TEXTS, TEXTS)
def test_the_spans_hold_both_texts_and_the_edits_are_those_of_the_word_error_rate(reference, hypothesis):
    diff = word_diff(reference, hypothesis)
    assert " ".join(span.reference for span in diff.spans if span.reference) == reference
    assert " ".join(span.hypothesis for span in diff.spans if span.hypothesis) == hypothesis
    agree = [span.reference == span.hypothesis for span in diff.spans]
    assert all(left != right for left, right in pairwise(agree))
    assert diff.edits == score_speech([Utterance("a", reference, hypothesis)], resamples=1).wer.edits
