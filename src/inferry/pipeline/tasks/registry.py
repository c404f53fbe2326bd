"""The tasks by name."""

from collections.abc import Mapping
from typing import Final

from inferry.core.errors import RunError, UsageError
from inferry.core.runs import Run
from inferry.pipeline.tasks.classification import ImageClassification
from inferry.pipeline.tasks.questions import VisualQuestionAnswering
from inferry.pipeline.tasks.speech import SpeechRecognition
from inferry.pipeline.tasks.task import Task

TASKS: Final[Mapping[str, Task]] = {
    task.name: task for task in (SpeechRecognition(), ImageClassification(), VisualQuestionAnswering())
}


def get_task(name: str) -> Task:
    """The task of that name.

    Raises:
        UsageError: There is none; those available are listed.
    """
    if name not in TASKS:
        raise UsageError(f"unknown task {name!r}; available: {', '.join(TASKS)}")
    return TASKS[name]


def task_of(run: Run) -> Task:
    """The task of a run's model.

    Raises:
        RunError: The run does not name it.
        UsageError: It is unknown.
    """
    name = run.info["config"].get("task")
    if name is None:
        raise RunError(
            f"{run.path} was made by an older version of Inferry and names no task: "
            "run the same `inferry infer` into a new folder"
        )
    return get_task(str(name))
