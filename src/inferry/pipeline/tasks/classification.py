"""Image classification: the best classes and how often they are right."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from inferry.core.errors import RunError
from inferry.core.samples import Prediction
from inferry.core.scores import Answered
from inferry.metrics.bootstrap import RESAMPLES
from inferry.metrics.classification import Picture, score_classification
from inferry.metrics.classification_scores import ClassificationScore
from inferry.pipeline.tasks.ranked import lines, require_no_normalisation, share_of_same

LABELS: Final = "labels.txt"


class ImageClassification:
    """See `inferry.pipeline.tasks.task.Task`."""

    name = "image-classification"
    noun = "picture"
    agreement = "same class as the truth"
    keeps: tuple[str, ...] = (LABELS,)

    def score(
        self,
        answered: Iterable[Answered],
        files: Mapping[str, str],
        *,
        normalisation: str = "none",
        resamples: int = RESAMPLES,
    ) -> ClassificationScore:
        """Top-1 and top-5 accuracy."""
        require_no_normalisation(normalisation)
        return score_classification(_pictures(answered), lines(files, LABELS), resamples=resamples)

    def agree(self, pairs: Iterable[tuple[Prediction, Prediction]]) -> float | None:
        """Share of pictures with the truth's best class."""
        return share_of_same(pairs)

    def dropped(self) -> None:
        """No class stands for a picture that was never seen."""


def _pictures(answered: Iterable[Answered]) -> Iterator[Picture]:
    for one in answered:
        if not isinstance(one.reference, str):
            raise RunError(f"the reference of {one.id} is no class: this data set is for another task")
        yield Picture(one.id, one.reference, [int(best["index"]) for best in one.answer["best"]])
