"""Error rates with their counts and intervals."""

from inferry.metrics.error_rates import score_speech
from inferry.metrics.scores import ErrorRate, SpeechScore, Utterance, UtteranceErrors

__all__ = ["ErrorRate", "SpeechScore", "Utterance", "UtteranceErrors", "score_speech"]
