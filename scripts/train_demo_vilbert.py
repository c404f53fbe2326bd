"""Trains the demo's ViLBERT on questions about drawn scenes, as the demo's detector sees them.

Example:
    OMP_NUM_THREADS=1 python scripts/train_demo_vilbert.py --detector examples/questions/vilbert-vqa/detector.pth \
        --scenes examples/questions/scenes --output examples/questions/vilbert-vqa/vilbert-vqa-demo.tar.gz
"""

import argparse
import time
from collections import Counter
from pathlib import Path

import numpy as np
import torch
from demo_questions_data import Questions, drawn, shipped
from demo_regions import region_finder
from demo_vilbert import ENTRIES, Vilbert, initial_weights, save
from torch.nn import functional

from inferry.metrics.vqa import AnsweredQuestion, labels_of, leave_one_out, score_answers
from inferry.metrics.vqa_scores import VqaScore
from inferry.processing.answers import given_answers, normalise_answer

STEPS = 2500
RATE = 1e-3
BATCH = 128
HELD_OUT = 100
"""Scenes that the network is evaluated on while it is trained."""

_REPORT = 500
_SAVE = 500
_ANSWERS = ("@@PADDING@@", *ENTRIES)


def learning_rate(step: int, steps: int) -> float:
    """Linear warm-up over 200 steps, then half a cosine to zero."""
    return RATE * min((step + 1) / 200, 0.5 + 0.5 * float(np.cos(np.pi * step / steps)))


@torch.no_grad()
def answer(network: Vilbert, questions: Questions) -> np.ndarray:
    """Logits (questions, classes)."""
    parts = torch.arange(len(questions.kinds)).split(500)
    return torch.cat([network.logits(questions.inputs(part)) for part in parts]).numpy()


def score(logits: np.ndarray, questions: Questions) -> VqaScore:
    """The metrics of `inferry evaluate`."""
    index = {name: place for place, name in enumerate(_ANSWERS)}
    rows = []
    for number, (row, people) in enumerate(zip(logits, questions.answers, strict=True)):
        best = int(row.argmax())
        labels = labels_of(people, index, normalise_answer)
        accuracy = leave_one_out(_ANSWERS[best], people, normalise_answer)
        rows.append(AnsweredQuestion(str(number), best, given_answers(row), labels, accuracy))
    return score_answers(rows)


def always(questions: Questions) -> VqaScore:
    """What the one answer would score that is right most often."""
    best = int(questions.weights.sum(dim=0).argmax())
    return score(np.eye(len(_ANSWERS))[[best] * len(questions.kinds)], questions)


def by_kind(logits: np.ndarray, questions: Questions) -> str:
    """Mean weight of the best answers, for each kind of question."""
    weights = questions.weights.numpy()[np.arange(len(logits)), logits.argmax(axis=1)]
    totals: Counter[str] = Counter()
    for kind, weight in zip(questions.kinds, weights.tolist(), strict=True):
        totals[kind] += weight
    counts = Counter(questions.kinds)
    return ", ".join(f"{kind} {100 * totals[kind] / count:.0f} %" for kind, count in sorted(counts.items()))


def train(questions: Questions, held_out: Questions, steps: int, output: Path) -> Vilbert:
    """Trains with AdamW on the binary cross entropy of all answers, prints progress, and saves the archive.

    Args:
        questions: To train on.
        held_out: To evaluate on.
        steps: Over which the learning rate falls to zero.
        output: The archive.
    """
    weights = initial_weights(questions.features.shape[2])
    print(f"{sum(weight.numel() for weight in weights.values())} parameters", flush=True)
    network = Vilbert(weights)
    optimizer = torch.optim.AdamW(list(weights.values()), weight_decay=1e-2)
    start, total = time.monotonic(), 0.0
    for step in range(steps):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, steps)
        chosen = torch.randint(len(questions.kinds), (BATCH,))
        optimizer.zero_grad()
        logits = network.logits(questions.inputs(chosen))
        value = functional.binary_cross_entropy_with_logits(logits, questions.weights[chosen], reduction="sum") / BATCH
        value.backward()
        torch.nn.utils.clip_grad_norm_(list(weights.values()), 1.0)
        optimizer.step()
        total += value.item()
        if (step + 1) % _REPORT == 0:
            seconds, kinds = time.monotonic() - start, by_kind(answer(network, held_out), held_out)
            print(f"step {step + 1} loss {total / _REPORT:.3f} after {seconds:.0f} s: {kinds}", flush=True)
            total = 0.0
        if (step + 1) % _SAVE == 0 or step + 1 == steps:
            save(weights, output)
    return network


def main() -> None:
    """Parses the command line, trains, and prints the scores on the shipped questions."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--detector", type=Path, required=True, help="the .pth file of the region detector")
    parser.add_argument("--scenes", type=Path, required=True, help="folder of the test set")
    parser.add_argument("--output", type=Path, required=True, help="the .tar.gz file")
    parser.add_argument("--cache", type=Path, help=".npz file that keeps the regions for the next run")
    parser.add_argument("--count", type=int, default=2000, help="scenes to train on")
    parser.add_argument("--questions", type=int, default=50, help="about each scene")
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(options.seed)
    start = time.monotonic()
    finder = region_finder(options.detector)
    questions = drawn(finder, options.count, options.questions, options.seed, options.cache)
    held_out = drawn(finder, HELD_OUT, 20, options.seed + 1, None)
    tests = shipped(finder, options.scenes)
    regions = questions.box_mask.sum() / len(questions.box_mask)
    print(
        f"{len(questions.kinds)} questions, {regions:.2f} regions a picture, {time.monotonic() - start:.0f} s",
        flush=True,
    )
    network = train(questions, held_out, options.steps, options.output)
    logits = answer(network, tests)
    print(f"shipped questions: {by_kind(logits, tests)}")
    for name, found in (("network", score(logits, tests)), ("most frequent answer", always(tests))):
        rates = (found.vqa_score, found.vqa_accuracy, found.precision, found.recall, found.f1)
        print(f"{name}: " + ", ".join(f"{rate.name} {rate.rate:.2f} %" for rate in rates if rate is not None))
    print(f"{options.output}: {options.output.stat().st_size} bytes after {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
