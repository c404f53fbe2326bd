"""Visual question answering: answers, scored as the original does and as the official evaluation does."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from inferry.core.errors import RunError
from inferry.core.samples import Prediction
from inferry.core.scores import Answered
from inferry.metrics.bootstrap import RESAMPLES
from inferry.metrics.vqa import AnsweredQuestion, labels_of, leave_one_out, score_answers
from inferry.metrics.vqa_scores import VqaScore
from inferry.pipeline.tasks.ranked import lines, require_no_normalisation, share_of_same
from inferry.processing.answers import normalise_answer

ANSWERS: Final = "answers.txt"


class VisualQuestionAnswering:
    """See `inferry.pipeline.tasks.task.Task`."""

    name = "visual-question-answering"
    noun = "question"
    agreement = "same answer as the truth"
    keeps: tuple[str, ...] = (ANSWERS,)

    def score(
        self,
        answered: Iterable[Answered],
        files: Mapping[str, str],
        *,
        normalisation: str = "none",
        resamples: int = RESAMPLES,
    ) -> VqaScore:
        """VQA score, precision, recall and F1 of the original, and the official accuracy."""
        require_no_normalisation(normalisation)
        index_of = {answer: index for index, answer in enumerate(lines(files, ANSWERS))}
        return score_answers(_questions(answered, index_of), resamples=resamples)

    def agree(self, pairs: Iterable[tuple[Prediction, Prediction]]) -> float | None:
        """Share of questions with the truth's best answer."""
        return share_of_same(pairs)

    def dropped(self) -> None:
        """No answer stands for a question that was never asked."""


def _questions(answered: Iterable[Answered], index_of: Mapping[str, int]) -> Iterator[AnsweredQuestion]:
    for one in answered:
        if isinstance(one.reference, str):
            raise RunError(f"the reference of {one.id} is one text, not people's answers: this is for another task")
        answer = one.answer
        yield AnsweredQuestion(
            one.id,
            int(answer["best"][0]["index"]),
            tuple(map(int, answer["given"])),
            labels_of(one.reference, index_of, normalise_answer),
            leave_one_out(str(answer["answer"]), one.reference, normalise_answer),
        )
