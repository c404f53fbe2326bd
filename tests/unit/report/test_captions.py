"""Captions: the formats letter by letter, and cues that a person can read."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inferry.core.samples import Transcription, Word
from inferry.report.captions import FORMATS, Transcript, cues


def transcript(words, seconds=4000.0, name="talk/first part.flac"):
    text = " ".join(word.text for word in words)
    return Transcript(Path(name), seconds, Transcription(text, 200_000, tuple(words)))


# Two cues: the pause before the third word is longer than 0.8 s.
WORDS = (
    Word("TOM", 0.5, 0.78, 0.98765),
    Word("&", 0.9, 1.02, 0.5),
    Word("<unk>", 3661.5, 3661.94, 1.0),
)
EXPECTED = {
    "text": "TOM & <unk>\n",
    "srt": "1\n00:00:00,500 --> 00:00:01,500\nTOM &\n\n2\n01:01:01,500 --> 01:01:02,500\n<unk>\n",
    "vtt": "WEBVTT\n\n00:00:00.500 --> 00:00:01.500\nTOM &amp;\n\n01:01:01.500 --> 01:01:02.500\n&lt;unk&gt;\n",
    "ctm": "first_part 1 0.500 0.280 TOM 0.9877\nfirst_part 1 0.900 0.120 & 0.5000\n"
    "first_part 1 3661.500 0.440 <unk> 1.0000\n",
}


@pytest.mark.parametrize(("kind", "expected"), EXPECTED.items(), ids=EXPECTED)
def test_formats(kind, expected):
    assert FORMATS[kind](transcript(WORDS)) == expected


def test_json():
    row = json.loads(FORMATS["json"](transcript(WORDS[:1], seconds=1.23456)))
    assert row == {
        "file": "talk/first part.flac",
        "seconds": 1.235,
        "text": "TOM",
        "frames": 200_000,
        "words": [{"text": "TOM", "start": 0.5, "end": 0.78, "confidence": 0.9877}],
    }


@pytest.mark.parametrize("kind", FORMATS)
def test_a_name_that_is_no_text_can_be_written(kind):
    FORMATS[kind](transcript(WORDS, name="\udcff.flac")).encode("utf-8")


def test_nothing_said():
    empty = transcript(())
    assert {kind: FORMATS[kind](empty) for kind in EXPECTED} == {"text": "\n", "srt": "", "vtt": "WEBVTT\n", "ctm": ""}
    assert json.loads(FORMATS["json"](empty))["words"] == []


@pytest.mark.parametrize("kind", ["srt", "vtt", "ctm"])
def test_times_need_words(kind):
    with pytest.raises(ValueError, match=r"a\.flac was transcribed without words"):
        FORMATS[kind](Transcript(Path("a.flac"), 1.0, Transcription("A", 5)))


def spoken(*texts, gap=0.1, duration=0.3):
    """Words one after the other."""
    step = gap + duration
    return [Word(text, round(i * step, 3), round(i * step + duration, 3), 1.0) for i, text in enumerate(texts)]


def lines_of(words, seconds=1000.0):
    return [cue.lines for cue in cues(words, seconds)]


def test_lines_are_broken_between_words():
    text = "A LINE HAS ROOM FOR FORTY TWO CHARACTERS AND A CUE FOR TWO LINES"
    words = spoken(*text.split())
    assert lines_of(words) == [("A LINE HAS ROOM FOR FORTY TWO CHARACTERS", "AND A CUE FOR TWO LINES")]


def test_a_long_cue_is_broken_at_its_longest_pause():
    words = spoken(*["WORD"] * 20, gap=0.0)
    later = [Word(word.text, word.start + 0.3, word.end + 0.3, 1.0) for word in words[12:]]
    parts = lines_of([*words[:12], *later])
    assert [" ".join(lines).split() for lines in parts] == [["WORD"] * 12, ["WORD"] * 8]


def test_without_pauses_it_is_broken_in_the_middle():
    assert lines_of(spoken(*["WORD"] * 20)) == [(" ".join(["WORD"] * 8), "WORD WORD")] * 2


def test_a_cue_lasts_seven_seconds_at_most():
    assert lines_of(spoken(*"ABCDEFGHIJ", gap=0.7)) == [("A B C D E",), ("F G H I J",)]


def test_a_word_that_is_too_long_stands_alone():
    endless = "A" * 90
    assert lines_of(spoken("ONE", endless, "TWO")) == [("ONE",), (endless,), ("TWO",)]


def test_a_cue_stays_for_a_moment_if_there_is_time():
    words = [Word("A", 0.0, 0.1, 1.0), Word("B", 0.95, 1.0, 1.0), Word("C", 5.0, 7.5, 1.0), Word("D", 9.0, 9.1, 1.0)]
    found = [(cue.start, cue.end) for cue in cues(words, 9.4)]
    assert found == [(0, 950), (950, 1950), (5000, 7750), (9000, 9400)]


@st.composite
def utterances(draw):
    words, time = [], 0
    for text in draw(st.lists(st.text("abc&<", min_size=1, max_size=30), max_size=60)):
        start = time + draw(st.sampled_from([0, 1, 2, 10, 60, 400]))
        time = start + draw(st.integers(1, 40))
        words.append(Word(text, start * 0.02, time * 0.02, 1.0))
    return words


@given(utterances())
def test_every_cue_can_be_read(words):
    parts = cues(words, words[-1].end if words else 1.0)
    assert [word for cue in parts for line in cue.lines for word in line.split()] == [word.text for word in words]
    for cue in parts:
        assert 0 < cue.end - cue.start <= 7250
        assert 1 <= len(cue.lines) <= 2
        assert all(1 <= len(line) <= 42 for line in cue.lines)
    assert all(one.end <= two.start for one, two in pairwise(parts))


CUE = re.compile(r"\d\d:\d\d:\d\d\.\d{3} --> \d\d:\d\d:\d\d\.\d{3}(\n[^\n]+){1,2}")


@given(utterances())
def test_webvtt_is_well_formed(words):
    header, *blocks = FORMATS["vtt"](transcript(words)).rstrip("\n").split("\n\n")
    assert header == "WEBVTT"
    assert len(blocks) == len(cues(words, 4000.0))
    for block in blocks:
        assert CUE.fullmatch(block)
        assert "<" not in block
        assert not re.search(r"&(?!amp;|lt;)", block)
