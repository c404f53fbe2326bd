"""Greedy decoding and the CTC training loop that all demo networks share."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from demo_data import Clip, batches, joined
from demo_speech import SAMPLE_RATE
from rapidfuzz.distance import Levenshtein
from torch import nn


def collapse(labels: Sequence[int], symbols: Sequence[str]) -> str:
    """Greedy CTC decoding: repeats are merged, then blanks (label 0) dropped."""
    kept = [label for index, label in enumerate(labels) if label and (index == 0 or label != labels[index - 1])]
    return "".join(symbols[label] for label in kept)


def error_rates(pairs: Sequence[tuple[str, str]]) -> tuple[float, float]:
    """Pooled word and character error rates of (reference, hypothesis) pairs, as fractions."""
    words = sum(Levenshtein.distance(reference.split(), answer.split()) for reference, answer in pairs)
    characters = sum(Levenshtein.distance(reference, answer) for reference, answer in pairs)
    word_count = sum(len(reference.split()) for reference, _ in pairs)
    return words / word_count, characters / sum(len(reference) for reference, _ in pairs)


@dataclass(frozen=True)
class Learner:
    """What the training loop needs to know about a network.

    Attributes:
        network: Any module.
        features: Turns the samples of one clip into the network's input, without a batch dimension.
        logits: Runs the network on stacked features; returns (batch, frames, symbols).
        symbols: The text of every label; label 0 is the CTC blank.
        space: The symbol between words.
    """

    network: nn.Module
    features: Callable[[np.ndarray], torch.Tensor]
    logits: Callable[[torch.Tensor], torch.Tensor]
    symbols: Sequence[str]
    space: str

    def targets(self, text: str) -> torch.Tensor:
        """Labels of a transcript."""
        return torch.tensor([self.symbols.index(symbol) for symbol in text.replace(" ", self.space)])

    def loss(self, batch: Sequence[Clip]) -> torch.Tensor:
        """CTC loss of clips of equal length, per character."""
        logits = self.logits(torch.stack([self.features(clip.samples) for clip in batch]))
        targets = [self.targets(clip.text) for clip in batch]
        lengths = torch.tensor([len(target) for target in targets])
        frames = torch.full((len(batch),), logits.shape[1])
        scores = logits.log_softmax(-1).transpose(0, 1)
        return nn.functional.ctc_loss(scores, torch.cat(targets), frames, lengths, zero_infinity=True)

    def flat_start_loss(self, batch: Sequence[Clip]) -> torch.Tensor:
        """Cross entropy against letters that are spread evenly over the speech of every clip.

        CTC alone spends its first steps on blanks only. Rough alignments, the "flat start" of speech recognition
        before neural networks, show the network at once that letters follow each other in time.
        """
        logits = self.logits(torch.stack([self.features(clip.samples) for clip in batch]))
        frames = logits.shape[1]
        targets = torch.zeros(logits.shape[:2], dtype=torch.long)
        for row, clip in zip(targets, batch, strict=True):
            letters = self.targets(clip.text)
            times = (torch.arange(frames) + 0.5) * len(clip.samples) / frames
            place = ((times - clip.start) / (clip.stop - clip.start) * len(letters)).floor().long()
            spoken = (place >= 0) & (place < len(letters))
            row[spoken] = letters[place[spoken]]
        return nn.functional.cross_entropy(logits.flatten(0, 1), targets.flatten())

    @torch.no_grad()
    def transcribe(self, samples: np.ndarray) -> str:
        """Greedy transcript of one clip, alone and unpadded."""
        labels = self.logits(self.features(samples)[None])[0].argmax(-1).tolist()
        return collapse(labels, self.symbols).replace(self.space, " ").strip()

    def evaluate(self, clips: Sequence[Clip]) -> list[tuple[str, str]]:
        """Pairs of transcript and answer for every clip."""
        self.network.eval()
        pairs = [(clip.text, self.transcribe(clip.samples)) for clip in clips]
        self.network.train()
        return pairs


@dataclass(frozen=True)
class Schedule:
    """How long and how fast to train.

    Attributes:
        steps: Steps over which the learning rate falls to zero.
        rate: Greatest learning rate.
        batch_seconds: Speech in a batch.
        short_steps: Steps at the start that see short clips only.
        flat_steps: Steps at the start with `Learner.flat_start_loss` instead of CTC.
        single_steps: Steps that see single utterances only; after them half of the speech is joined utterances.
    """

    steps: int
    rate: float
    batch_seconds: float
    short_steps: int
    flat_steps: int = 0
    single_steps: int | None = None

    def learning_rate(self, step: int) -> float:
        """Linear warm-up over 100 steps, then constant, then linear to zero over the second half."""
        return self.rate * min(1.0, (step + 1) / 100, 2 * (self.steps - step) / self.steps)


def stream(clips: Sequence[Clip], schedule: Schedule, rng: np.random.Generator) -> Iterator[list[Clip]]:
    """Batches for every step: short clips first, then all, then also joined ones, epoch after epoch."""
    short = [clip for clip in clips if len(clip.samples) < 1.2 * SAMPLE_RATE]
    single = schedule.steps if schedule.single_steps is None else schedule.single_steps
    count = 0
    while count < schedule.steps:
        if count < schedule.short_steps:
            end, members = schedule.short_steps, short
        elif count < single:
            end, members = single, list(clips)
        else:
            end, members = schedule.steps, [*clips, *joined(clips, rng)]
        chosen = batches(members, schedule.batch_seconds, rng)[: end - count]
        count += len(chosen)
        yield from chosen


def train(
    learner: Learner,
    clips: Sequence[Clip],
    schedule: Schedule,
    seed: int,
    checkpoint: Callable[[], None],
) -> None:
    """Trains with AdamW, prints progress, and evaluates on clips that it does not train on.

    Args:
        learner: The network.
        clips: Speech; the last 64 clips are kept for evaluation.
        schedule: How long and how fast.
        seed: Seed of the batches.
        checkpoint: Called after every evaluation.
    """
    rng = np.random.default_rng(seed)
    held_out = [clip for batch in batches(clips[-64:], 0, rng) for clip in batch]
    optimizer = torch.optim.AdamW(learner.network.parameters(), lr=schedule.rate, weight_decay=1e-4)
    learner.network.train()
    start, total = time.monotonic(), 0.0
    for step, batch in enumerate(stream(clips[:-64], schedule, rng), start=1):
        for group in optimizer.param_groups:
            group["lr"] = schedule.learning_rate(step - 1)
        optimizer.zero_grad()
        loss = learner.flat_start_loss(batch) if step <= schedule.flat_steps else learner.loss(batch)
        loss.backward()
        nn.utils.clip_grad_norm_(learner.network.parameters(), 1.0)
        optimizer.step()
        total += loss.item()
        if step % 25 == 0:
            print(f"step {step} loss {total / 25:.3f} after {time.monotonic() - start:.0f} s", flush=True)
            total = 0.0
        if step % 200 == 0 or step == schedule.steps:
            words, characters = error_rates(learner.evaluate(held_out))
            print(f"step {step} WER {words:.3f} CER {characters:.3f}", flush=True)
            checkpoint()
