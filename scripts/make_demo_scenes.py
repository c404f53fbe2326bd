"""Makes the demo's test set for visual question answering: pictures, questions and answers in the form of VQA v2.

Example:
    python scripts/make_demo_scenes.py --output examples/questions/scenes
"""

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from demo_questions import PEOPLE, Asked, different, most_common, people
from demo_scenes import jpeg, random_scene

SEED = 2026
SCENES = 20
QUESTIONS = 4
"""About each scene."""

_PART = "demo"
_SURE = ("yes", "yes", "yes", "maybe")


def write(output: Path) -> tuple[int, int]:
    """Writes ``images/COCO_demo_*.jpg`` and the two JSON files.

    Args:
        output: The folder.

    Returns:
        Numbers of pictures and of questions.
    """
    rng = np.random.default_rng(SEED)
    (output / "images").mkdir(parents=True, exist_ok=True)
    questions, annotations = [], []
    for image in range(1, SCENES + 1):
        scene = random_scene(rng)
        (output / "images" / f"COCO_{_PART}_{image:012}.jpg").write_bytes(jpeg(scene))
        for number, asked in enumerate(different(scene, rng, QUESTIONS)):
            ids = {"image_id": image, "question_id": image * 1000 + number}
            questions.append({**ids, "question": asked.text.capitalize()})
            annotations.append({**ids, **_annotation(asked, rng)})
    head = {
        "info": {"description": "Drawn scenes with coloured shapes", "version": "2.0", "year": 2026},
        "license": {"name": "As the repository"},
        "data_type": "drawn",
        "data_subtype": _PART,
    }
    _save(output / f"v2_OpenEnded_{_PART}_questions.json", head | {"task_type": "Open-Ended", "questions": questions})
    _save(output / f"v2_{_PART}_annotations.json", head | {"annotations": annotations})
    return SCENES, len(questions)


def _annotation(asked: Asked, rng: np.random.Generator) -> dict[str, Any]:
    answers = people(asked, rng)
    return {
        "question_type": asked.kind,
        "answer_type": asked.answer_type,
        "multiple_choice_answer": most_common(answers),
        "answers": [
            {"answer": answer, "answer_confidence": str(rng.choice(_SURE)), "answer_id": number}
            for number, answer in zip(range(1, PEOPLE + 1), answers, strict=True)
        ],
    }


def _save(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n", encoding="utf-8")


def main() -> None:
    """Parses the command line and writes the test set."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", type=Path, required=True, help="folder of the test set")
    pictures, questions = write(parser.parse_args().output)
    print(f"{pictures} pictures and {questions} questions")


if __name__ == "__main__":
    main()
