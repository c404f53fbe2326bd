"""Makes the demo's test clips: FLAC files and transcripts in LibriSpeech's layout.

Example:
    python scripts/make_demo_speech.py --output examples/speech/clips
"""

import argparse
from pathlib import Path

import numpy as np
import soundfile
from demo_speech import SAMPLE_RATE, synthesize, test_utterances, with_silence

SEED = 20260
COUNT = 24


def test_texts() -> frozenset[str]:
    """The transcripts of the test clips, which no training set may contain."""
    return frozenset(utterance.text for voice in test_utterances(SEED, COUNT) for utterance in voice)


def write_clips(output: Path) -> int:
    """Writes every test clip below `output/demo-clean`.

    Args:
        output: The folder that takes the place of `LibriSpeech/`.

    Returns:
        The number of clips.
    """
    rng = np.random.default_rng(SEED)
    count = 0
    for speaker, utterances in enumerate(test_utterances(SEED, COUNT), start=1):
        chapter = output / "demo-clean" / str(speaker) / "1"
        chapter.mkdir(parents=True, exist_ok=True)
        lines = []
        for number, utterance in enumerate(utterances):
            name = f"{speaker}-1-{number:04d}"
            speech = synthesize(utterance)
            margin = int(SAMPLE_RATE * rng.choice((0.1, 0.2, 0.4, 0.8, 1.6, 2.4)))
            clip, _ = with_silence(speech, len(speech) + margin, rng)
            soundfile.write(chapter / f"{name}.flac", clip, SAMPLE_RATE, subtype="PCM_16", compression_level=1.0)
            lines.append(f"{name} {utterance.text}\n")
            count += 1
        (chapter / f"{speaker}-1.trans.txt").write_text("".join(lines), encoding="utf-8")
    return count


def main() -> None:
    """Parses the command line and writes the clips."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder that takes the place of LibriSpeech/")
    options = parser.parse_args()
    print(f"{write_clips(options.output)} clips in {options.output}")


if __name__ == "__main__":
    main()
