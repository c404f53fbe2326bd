import pytest
from typer.testing import CliRunner

from inferry.cli.main import app
from inferry.core.errors import UsageError
from inferry.core.protocols import ExportOptions
from inferry.pipeline import export

GIVEN = ["--image-size", "96", "--tokenizer", "words/", "--detector", "eyes.pth"]


@pytest.mark.parametrize("verb", ["export", "run"])
@pytest.mark.parametrize(
    ("arguments", "wanted"), [(GIVEN, ExportOptions(96, "words/", "eyes.pth")), ([], ExportOptions())]
)
def test_what_a_user_chooses_reaches_the_reader(verb, arguments, wanted, tmp_path, monkeypatch):
    reached = []

    def read_checkpoint(recipe, checkpoint, options):
        reached.append(options)
        raise UsageError("far enough")

    monkeypatch.setattr(export, "read_checkpoint", read_checkpoint)
    line = [verb, "beit", "--checkpoint", "x.pth", "--output", str(tmp_path / "made"), *arguments]
    line += ["--data", str(tmp_path)] if verb == "run" else []
    assert "far enough" in CliRunner().invoke(app, line).output
    assert reached == [wanted]
