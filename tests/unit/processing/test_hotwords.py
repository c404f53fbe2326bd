import pytest

from inferry.processing.hotwords import Hotwords, Matches


def read(hotwords, text):
    matches = Matches()
    for before, letter in zip(" " + text, text, strict=False):
        matches = hotwords.read(matches, letter, begins_word=before == " ")
    return matches


CASES = {
    "a word": ("ANNA ", 3.0, 0.0),
    "a word twice": ("ANNA X ANNA ", 6.0, 0.0),
    "a word at the end has not ended yet": ("ANNA", 0.0, 3.0),
    "a beginning counts in part": ("X AN", 0.0, 1.5),
    "a beginning that ends otherwise is lost": ("ANDY ", 0.0, 0.0),
    "a longer word is another word": ("ANNAS ", 0.0, 0.0),
    "the end of a word is no word": ("JOANNA ", 0.0, 0.0),
    "a phrase counts for each of its words": ("NEW YORK ", 6.0, 0.0),
    "half a phrase": ("NEW ", 0.0, 3.0),
    "a phrase that is broken off": ("NEW X ", 0.0, 0.0),
    "a phrase that begins again": ("NEW NEW YORK ", 6.0, 0.0),
    "the one furthest on its way counts": ("NEW Y", 0.0, 6.0 * 5 / 8),
}


@pytest.mark.parametrize(("text", "earned", "hoped"), CASES.values(), ids=CASES)
def test_bonus(text, earned, hoped):
    matches = read(Hotwords(["ANNA", "NEW YORK", "NEWEST"], 3.0), text)
    assert (matches.earned, matches.hoped) == (earned, pytest.approx(hoped))


def test_a_hotword_within_another_counts_beside_it():
    assert read(Hotwords(["NEW YORK", "YORK"], 1.0), "NEW YORK ").earned == 3.0


def test_words_and_their_beginnings():
    hotwords = Hotwords(["NEW YORK"], 1.0)
    assert [hotwords.have_word(word) for word in ("NEW", "YORK", "YOR", "NEW YORK")] == [True, True, False, False]
    assert [hotwords.have_word_beginning(text) for text in ("", "YO", "ORK")] == [True, True, False]


def test_no_hotwords_add_nothing():
    assert read(Hotwords([], 9.0), "ANNA ") == Matches()
