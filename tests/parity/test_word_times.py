"""Words lie where the original tokenizer says that they lie."""

import json

import numpy as np
import pytest

from inferry.processing.ctc import GreedyCtcDecoder

TOKENS = ("<pad>", "<s>", "</s>", "<unk>", "|", "E", "T", "A", "'")


def test_frames_of_words_are_those_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers")
    vocabulary = tmp_path / "vocab.json"
    vocabulary.write_text(json.dumps({token: index for index, token in enumerate(TOKENS)}))
    tokenizer = transformers.Wav2Vec2CTCTokenizer(str(vocabulary))
    decoder = GreedyCtcDecoder(TOKENS, "huggingface", blank=0, word_delimiter="|", frame_seconds=1.0)
    random = np.random.default_rng(3)
    chances = np.array([0.4, 0.02, 0.02, 0.02, 0.14, 0.1, 0.1, 0.1, 0.1])
    words = 0
    for _ in range(100):
        ids = random.choice(len(TOKENS), 40, p=chances)
        found = decoder.decode({"logits": 9 * np.eye(len(TOKENS))[ids]}, detailed=True)
        original = tokenizer.decode(ids, output_word_offsets=True)
        assert found.text == original.text
        assert [(word.text, word.start, word.end) for word in found.words] == [
            (word["word"], word["start_offset"], word["end_offset"]) for word in original.word_offsets
        ]
        words += len(found.words)
    assert words > 300
