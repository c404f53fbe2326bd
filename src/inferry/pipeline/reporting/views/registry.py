"""What the report shows, by task."""

from collections.abc import Mapping, Sequence
from typing import Final

from inferry.core.errors import UsageError
from inferry.core.runs import Run
from inferry.pipeline.reporting.views import pictures, questions, speech
from inferry.pipeline.reporting.views.view import View
from inferry.pipeline.tasks.registry import task_of

VIEWS: Final[Mapping[str, View]] = {
    "speech-recognition": speech.VIEW,
    "image-classification": pictures.VIEW,
    "visual-question-answering": questions.VIEW,
}


def view_of(runs: Sequence[Run]) -> View:
    """The view that runs have in common.

    Raises:
        UsageError: They are of several tasks.
        RunError: One does not name its task.
    """
    tasks = {str(run.path): task_of(run).name for run in runs}
    if len(set(tasks.values())) > 1:
        found = ", ".join(f"{path}: {task}" for path, task in tasks.items())
        raise UsageError(f"only runs of one task can be laid side by side; found {found}")
    return VIEWS[next(iter(tasks.values()))]
