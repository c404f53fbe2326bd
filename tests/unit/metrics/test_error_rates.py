import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.core.errors import UsageError
from inferry.metrics import Utterance, score_speech

TEXTS = st.text(alphabet="AB ", max_size=12)


def distance(reference, hypothesis):
    """Levenshtein's definition, by hand."""
    row = list(range(len(hypothesis) + 1))
    for i, left in enumerate(reference):
        above = row
        row = [i + 1]
        for j, right in enumerate(hypothesis):
            row.append(min(above[j + 1] + 1, row[j] + 1, above[j] + (left != right)))
    return row[-1]


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=6))
def test_edits_are_least_and_their_kinds_add_up(pairs):
    score = score_speech((Utterance(str(i), *pair) for i, pair in enumerate(pairs)), resamples=2)
    views = {
        "wer": [(a.split(), b.split()) for a, b in pairs],
        "cer": pairs,
        "cer_without_spaces": [(a.replace(" ", ""), b.replace(" ", "")) for a, b in pairs],
    }
    for name, sides in views.items():
        rate = getattr(score, name)
        assert rate.name == name
        assert rate.edits == sum(distance(a, b) for a, b in sides)
        assert rate.edits == rate.substitutions + rate.deletions + rate.insertions
        assert rate.deletions - rate.insertions == sum(len(a) - len(b) for a, b in sides)
        assert rate.reference_units == sum(len(a) for a, _ in sides)
        assert rate.utterances == len(pairs)
    assert score.exact_matches == sum(a == b for a, b in pairs)


def test_kinds_of_errors():
    score = score_speech([Utterance("a", "ONE TWO THREE FOUR", "ONE TOO THREE"), Utterance("b", "GO", "GO GO")])
    wer = score.wer
    assert (wer.substitutions, wer.deletions, wer.insertions, wer.reference_units) == (1, 1, 1, 5)
    assert wer.rate == pytest.approx(60.0)
    assert [(row.id, row.word_edits, row.words) for row in score.rows] == [("a", 2, 4), ("b", 1, 1)]


def test_the_rate_is_pooled_not_a_mean_of_rates():
    score = score_speech([Utterance("a", "A", "B"), Utterance("b", "A B C", "A B C")])
    assert score.wer.rate == 25.0
    assert score.exact_matches == 1


def test_spaces_count_in_cer_only():
    score = score_speech([Utterance("a", "P I T", "PIT")])
    assert (score.cer.edits, score.cer.reference_units) == (2, 5)
    assert (score.cer_without_spaces.edits, score.cer_without_spaces.reference_units) == (0, 3)
    assert score.character_accuracy == pytest.approx(60.0)
    assert score.character_accuracy_without_spaces == 100.0


def test_an_empty_reference_adds_insertions_and_no_units():
    score = score_speech([Utterance("a", "", "NOISE HERE"), Utterance("b", "ONE TWO", "ONE TWO")])
    assert (score.wer.insertions, score.wer.reference_units, score.wer.rate) == (2, 2, 100.0)


@pytest.mark.parametrize("utterances", [[], [Utterance("a", "", "TWO WORDS")]])
def test_nothing_to_divide_by_is_no_number_with_a_reason(utterances):
    score = score_speech(utterances)
    assert (score.wer.rate, score.wer.low, score.wer.high) == (None, None, None)
    assert "no reference text" in score.wer.reason
    assert score.character_accuracy is None
    assert json.loads(json.dumps(score.to_json(), allow_nan=False))["wer"]["rate"] is None


def test_case_and_punctuation_count_unless_normalised():
    utterances = [Utterance("a", "Don\N{RIGHT SINGLE QUOTATION MARK}t stop, now.", "DON'T STOP NOW")]
    plain, upper = (score_speech(utterances, normalisation=name) for name in ("none", "upper"))
    assert (plain.wer.rate, plain.normalisation) == (100.0, "none")
    assert (upper.wer.rate, upper.normalisation, upper.exact_matches) == (0.0, "upper", 1)


def test_every_rate_carries_its_signature():
    score = score_speech([Utterance("a", "A", "A")], normalisation="upper", resamples=7, seed=3)
    head, *parts = score.wer.signature.split("|")
    assert head == "wer"
    assert parts[:4] == ["case:upper", "norm:upper", "pooled", "bootstrap:7,seed:3"]
    assert [part.partition(":")[0] for part in parts[4:]] == ["rapidfuzz", "inferry"]
    assert score.signature == score.wer.signature
    assert score.cer.signature.startswith("cer|spaces:kept|case:upper|")
    assert score.cer_without_spaces.signature.startswith("cer|spaces:dropped|")
    assert "case:mixed|norm:none" in score_speech([]).signature


def test_the_interval_holds_the_rate_and_depends_on_the_seed_alone():
    generator = np.random.default_rng(0)
    words = ["ONE", "TWO", "THREE"]
    utterances = [
        Utterance(str(i), " ".join(generator.choice(words, 6)), " ".join(generator.choice(words, 6))) for i in range(80)
    ]
    score = score_speech(utterances)
    assert score.wer.low < score.wer.rate < score.wer.high
    assert score == score_speech(iter(utterances))
    assert score.wer.low != score_speech(utterances, seed=1).wer.low


def test_unknown_normalisation_is_refused():
    with pytest.raises(UsageError, match="choose one of"):
        score_speech([], normalisation="lower")
