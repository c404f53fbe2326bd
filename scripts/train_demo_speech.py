"""Trains one of the demo's small speech recognisers on speech from espeak-ng.

Example:
    OMP_NUM_THREADS=1 python scripts/train_demo_speech.py --family wav2vec2 --output examples/speech/wav2vec2
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch
from demo_data import shipped_clips, training_corpus
from demo_training import Learner, Schedule, error_rates, train

CLIPS = Path(__file__).resolve().parent.parent / "examples" / "speech" / "clips"
SCHEDULES = {
    "wav2vec2": Schedule(steps=3000, rate=2e-3, batch_seconds=24, short_steps=400),
    "data2vec-audio": Schedule(steps=2000, rate=1.5e-3, batch_seconds=24, short_steps=300, flat_steps=300),
    "deepspeech2": Schedule(steps=1600, rate=3e-3, batch_seconds=32, short_steps=150, single_steps=600),
}


def save(learner: Learner, family: str, output: Path) -> None:
    """Writes the checkpoint in the original format of its family."""
    if family == "deepspeech2":
        import demo_deepspeech2

        demo_deepspeech2.save(learner, output, SCHEDULES[family].steps)
    else:
        import demo_huggingface

        demo_huggingface.save(learner, family, output)


def build(family: str) -> Learner:
    """A new network of the family."""
    if family == "deepspeech2":
        import demo_deepspeech2

        return demo_deepspeech2.learner()
    import demo_huggingface

    return demo_huggingface.learner(family)


def main() -> None:
    """Parses the command line, trains, writes the checkpoint and prints the error rates on the shipped clips."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--family", choices=SCHEDULES, required=True)
    parser.add_argument("--output", type=Path, required=True, help="folder of the checkpoint")
    parser.add_argument("--corpus", type=Path, help="folder that keeps the training speech for the next run")
    parser.add_argument("--utterances", type=int, default=6000, help="size of the training set")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        clips = training_corpus(options.seed, options.utterances, options.corpus or Path(temporary))
    seconds = sum(len(clip.samples) for clip in clips) / 16000
    print(f"{len(clips)} clips, {seconds:.0f} s of speech, after {time.monotonic() - start:.0f} s", flush=True)
    learner = build(options.family)
    print(f"{sum(p.numel() for p in learner.network.parameters())} parameters", flush=True)
    train(
        learner, clips, SCHEDULES[options.family], options.seed, lambda: save(learner, options.family, options.output)
    )
    learner.network.eval()
    save(learner, options.family, options.output)
    pairs = learner.evaluate(shipped_clips(CLIPS))
    for reference, answer in pairs:
        print(f"{'ok ' if reference == answer else '-- '} {reference} | {answer}")
    words, characters = error_rates(pairs)
    print(f"shipped clips: WER {words:.4f} CER {characters:.4f} after {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
