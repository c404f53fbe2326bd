import json

import pytest

from inferry.report.markup import Markup, count, data, decimal, element, join, scientific, table, to_script_json

HOSTILE = "</script><script>alert(1)</script><!-- \"'&\u2028"


def test_texts_are_escaped_and_markup_is_not():
    assert element("p", "a < b & c", Markup("<b>d</b>")) == "<p>a &lt; b &amp; c<b>d</b></p>"
    assert join(["<", Markup("<br>")]) == "&lt;<br>"


def test_attributes():
    made = element("audio", class_="x", data_id='"><script>', controls=True, hidden=False, title=None)
    assert made == '<audio class="x" data-id="&quot;&gt;&lt;script&gt;" controls></audio>'
    assert element("path", d="M0 0") == '<path d="M0 0">'


def test_json_in_a_script_cannot_end_it():
    text = to_script_json({HOSTILE: HOSTILE})
    assert "<" not in text
    assert "\u2028" not in text
    assert json.loads(text) == {HOSTILE: HOSTILE}
    assert data(HOSTILE).count("</script>") == 1


def test_nan_is_no_json():
    with pytest.raises(ValueError, match="JSON"):
        to_script_json(float("nan"))


def test_table_cells_are_escaped_and_numbers_stand_right():
    made = table(["name", ">n"], [("<i>", "1"), ("b", "2")])
    assert '<th class="number">n</th>' in made
    assert '<th>&lt;i&gt;</th><td class="number">1</td>' in made


def test_numbers():
    assert [scientific(value) for value in (None, 0.0, 1.52e-5)] == ["\N{EN DASH}", "0", "1.5e-05"]
    assert [count(value) for value in (None, 1234.4)] == ["\N{EN DASH}", "1,234"]
    assert [decimal(value) for value in (None, 1234.456)] == ["\N{EN DASH}", "1,234.46"]
