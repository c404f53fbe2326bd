import pytest

from inferry.report.devices import DeviceRow, Devices, devices_section


def row(elsewhere=True, shape="samples16000", scope="NPU alone"):
    return DeviceRow("Ascend310P3 fp16", shape, 4, "test-clean", "WER 3.40 %", 2.5, 1600.0, scope, elsewhere=elsewhere)


def test_a_row_says_where_it_was_measured_and_what_was_counted():
    text = devices_section(["run"], [Devices((row(), row(elsewhere=False, scope="whole run")), (("om", "model.om"),))])
    assert text.count("elsewhere</td>") == 1
    assert text.count("here</td>") == 2
    for said in (
        "Ascend310P3 fp16",
        "samples16000",
        "test-clean",
        "WER 3.40 %",
        "2.50",
        "1,600.0",
        "whole run",
        "model.om",
    ):
        assert said in text


def test_what_was_measured_here_alone_needs_no_such_table():
    assert devices_section(["run"], [Devices((row(elsewhere=False),), ())]) == ""


@pytest.mark.parametrize(("shape", "columns"), [("samples16000", 9), ("", 8)])
def test_shapes_have_a_column_only_where_there_are_several(shape, columns):
    text = devices_section(["run"], [Devices((row(shape=shape),), ())])
    assert text.partition("</thead>")[0].count("</th>") == columns


def test_each_of_several_runs_is_named_and_signed():
    text = devices_section(
        ["a run", "another"], [Devices((row(),), (("om", "x"),)), Devices((row(elsewhere=False),), ())]
    )
    assert "elsewhere: a run" in text
    assert "elsewhere: another" not in text
