import json

from inferry.core.runs import json_line
from inferry.pipeline.answer import answer_row


def test_the_rows_of_the_three_tasks():
    speech = answer_row("a", {"text": "HE", "frames": 3}, "HE", seconds=1 / 3)
    assert json_line(speech) == '{"id": "a", "text": "HE", "frames": 3, "seconds": 0.333333, "reference": "HE"}\n'
    picture = answer_row("b", {"label": "cat"}, None)
    assert json_line(picture) == '{"id": "b", "label": "cat", "seconds": null, "reference": null}\n'
    question = answer_row("c", {"answer": "yes"}, ("yes", "no"), regions=((0.1, 0.2, 0.3, 0.4),))
    assert list(question) == ["id", "answer", "regions", "seconds", "reference"]
    assert json.loads(json_line(question))["reference"] == ["yes", "no"]


def test_windows_are_told_where_there_are_several():
    assert answer_row("a", {}, None, windows=3)["windows"] == 3
    assert "windows" not in answer_row("a", {}, None, windows=1)
    assert "windows" not in answer_row("a", {}, None, windows=0), "an answer without the network"
