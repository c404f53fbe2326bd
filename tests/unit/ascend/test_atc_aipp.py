import pytest

from inferry.ascend.atc_aipp import FIELDS, INPUT_FORMATS, aipp_problems, parse_aipp
from inferry.ascend.atc_command import parse_command
from inferry.ascend.atc_lint import lint
from inferry.core.graph_facts import GraphFacts, InputFacts

DOCUMENTED = """
# an image of 256, its middle of 224
aipp_op {
  aipp_mode: static  related_input_rank: 0  input_format: RGB888_U8
  src_image_size_w: 256  src_image_size_h: 256
  crop: true load_start_pos_w: 16 load_start_pos_h: 16 crop_size_w: 224 crop_size_h: 224
  mean_chn_0: 123 min_chn_0: 0.675 var_reci_chn_0: 0.0171
}
"""
BASE = ["--model=m.onnx", "--framework=5", "--output=m", "--soc_version=Ascend310P3", "--insert_op_conf=aipp.cfg"]


def broken(text):
    aipp = parse_aipp(text)
    return [str(problem) for problem in (*aipp.problems, *aipp_problems(aipp.blocks))]


def block(fields, mode="static", source="RGB888_U8"):
    return f"aipp_op {{ aipp_mode: {mode} input_format: {source} {fields} }}"


def test_the_documented_file_is_read():
    aipp = parse_aipp(DOCUMENTED)
    assert broken(DOCUMENTED) == []
    (only,) = aipp.blocks
    assert (only.rank, only.is_dynamic, only.on("crop"), only.size("crop_size_w")) == (0, False, True, 224)
    assert only.fields["min_chn_0"] == "0.675"


@pytest.mark.parametrize(
    ("fields", "legal"),
    [
        ("src_image_size_w: 1", "src_image_size_w: 2"),
        ("src_image_size_w: 4097", "src_image_size_w: 4096"),
        ("src_image_size_h: 4097", "src_image_size_h: 1"),
        ("src_image_size_h: -1", "src_image_size_h: 0"),
        ("left_padding_size: 33", "left_padding_size: 32"),
        ("top_padding_size: -1", "bottom_padding_size: 0"),
        ("crop: yes", "crop: false"),
        ("matrix_r0c0: -32678", "matrix_r2c2: -32677"),
        ("matrix_r0c0: 32677", "matrix_r0c0: 32676"),
        ("input_bias_0: 256", "input_bias_0: 255"),
        ("output_bias_2: 1.5", "output_bias_2: 1"),
        ("mean_chn_0: 256", "mean_chn_0: 255"),
        ("mean_chn_0: 123.675", "mean_chn_0: 123 min_chn_0: 0.675"),
        ("min_chn_0: -0.5", "min_chn_0: 255.0"),
        ("var_reci_chn_0: 1e9", "var_reci_chn_0: 1.71e-2"),
        ("related_input_rank: -1", "related_input_rank: 1"),
        ("mean_chan_0: 1", "mean_chn_0: 1"),
        ("load_start_pos_w: 4096", "load_start_pos_w: 4095"),
        ("crop_size_h: 4097", "crop_size_h: 4096"),
        ("resize: true", "resize: false"),
        ("resize_output_w: 1921", "resize_output_w: 1920"),
        ("resize_output_h: 15", "resize_output_h: 16"),
        ("rotation_angle: 4", "rotation_angle: 3"),
        ("single_line_mode: true", "single_line_mode: false"),
        ("support_rotation: true", "support_rotation: false"),
        ("cpadding_value: 70000", "cpadding_value: -65504"),
        ("padding_value: x", "padding_value: -0.5"),
        ("raw_rgbir_to_f16_n: 32", "raw_rgbir_to_f16_n: 8"),
    ],
)
def test_ranges_of_fields(fields, legal):
    (problem,) = broken(block(fields))
    assert problem.startswith("E10052: ")
    assert broken(block(legal)) == []


def test_a_fractional_mean_says_how_it_is_kept():
    (problem,) = broken(block("mean_chn_1: 116.25"))
    assert problem.endswith("mean_chn_1: 116 and min_chn_1: 0.25 keep the fraction")


@pytest.mark.parametrize("axis", ["w", "h"])
def test_yuv_wants_even_sizes(axis):
    assert broken(block(f"src_image_size_{axis}: 255")) == []
    (problem,) = broken(block(f"src_image_size_{axis}: 255", source="YUV420SP_U8"))
    assert "odd" in problem
    assert broken(block(f"src_image_size_{axis}: 256", source="YUV420SP_U8")) == []


@pytest.mark.parametrize("axis", ["w", "h"])
def test_yuv_wants_even_starts_except_on_the_newest_chip(axis):
    odd = block(f"load_start_pos_{axis}: 3", source="YUV420SP_U8")
    assert "odd" in "".join(broken(odd))
    assert aipp_problems(parse_aipp(odd).blocks, "Ascend950_1") == []
    assert broken(odd.replace("3", "4")) == []
    assert broken(block(f"load_start_pos_{axis}: 3")) == []


WHOLE = "src_image_size_w: 256 src_image_size_h: 256"


@pytest.mark.parametrize("axis", ["w", "h"])
def test_a_crop_lies_within_the_image(axis):
    inside = f"crop: true {WHOLE} load_start_pos_{axis}: 32 crop_size_{axis}: 224"
    assert broken(block(inside)) == []
    (problem,) = broken(block(inside.replace("32", "33")))
    assert f"ends at 257, beyond src_image_size_{axis}: 256" in problem
    assert broken(block(inside.replace("32", "33").replace("true", "false"))) == []
    assert broken(block(f"crop: true {WHOLE} load_start_pos_{axis}: 255")) == []
    assert len(broken(block(f"crop: true {WHOLE} load_start_pos_{axis}: 256"))) == 1


@pytest.mark.parametrize("switch", ["crop", "padding"])
def test_crops_and_padding_need_the_size_of_the_images(switch):
    assert len(broken(block(f"{switch}: true"))) == 2
    assert broken(block(f"{switch}: true {WHOLE}")) == []
    assert broken(block(f"{switch}: false")) == []


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("", "no aipp_op block"),
        ("op { }", "where a block"),
        ("aipp_op { aipp_mode: static", "where a block"),
        ("aipp_op { aipp_mode static }", "pairs"),
        ("aipp_op { input_format: RGB888_U8 }", "no aipp_mode"),
        ("aipp_op { aipp_mode: static }", "no input_format"),
        ("aipp_op { aipp_mode: dynamic }", "no max_src_image_size"),
        ("aipp_op { aipp_mode: dynamic max_src_image_size: 0 }", "out of range"),
        (block("", source="BGR_U8"), "input_format: BGR_U8 is out of range"),
        (block("") + block(""), "two aipp_op blocks"),
    ],
)
def test_files_that_are_refused(text, word):
    (problem,) = broken(text)
    assert word in problem


@pytest.mark.parametrize("source", INPUT_FORMATS)
def test_blocks_for_several_inputs(source):
    assert broken(block("", source=source) + '\naipp_op { aipp_mode: "dynamic", max_src_image_size: 9 }') != []
    second = "aipp_op { aipp_mode: dynamic, related_input_rank: 1; max_src_image_size: 150528 }"
    assert broken(block("", source=source) + second) == []


def test_every_field_says_what_it_wants():
    assert all(field.wanted for field in FIELDS.values())


def linted(folder, text, *more, graph=None):
    (folder / "aipp.cfg").write_text(text, encoding="utf-8")
    return [problem.code for problem in lint(parse_command([*BASE, *more]), graph, None, folder=folder)]


DYNAMIC = "aipp_op { aipp_mode: dynamic max_src_image_size: 150528 }"
IMAGES = ["--input_shape=a:1,3,-1,-1", "--dynamic_image_size=2,2;4,4", "--input_format=NCHW"]


CAFFE = ["--framework=0", "--weight=w", "--soc_version=Ascend310"]
SMALL = "--enable_small_channel=1"


SIZED = ["--input_shape=a:1,3,192,224"]
OPEN = ["--input_shape=a:1,3,-1,-1"]
PADDED = "src_image_size_w: 208 left_padding_size: 16 src_image_size_h: 190 top_padding_size: 1 bottom_padding_size: 1"


def batched(largest):
    return ["--input_shape=a:-1,3,224,224", f"--dynamic_batch_size=1,{largest}"]


BESIDE = [  # the file and options that break a rule, its code, and the same without the breach
    (block("mean_chn_0: 300"), [], "E10052", block(""), []),
    (block(""), ["--input_shape=a:1,3", "--input_fp16_nodes=a"], "E10034", block(""), ["--input_shape=a:1,3"]),
    (block("related_input_name: a"), [], "E10052", block("related_input_name: a"), CAFFE),
    (block(f"crop: true {WHOLE}"), IMAGES, "E10052", block(""), IMAGES),
    (block(f"padding: true {WHOLE}"), IMAGES, "E10052", block("padding: false"), IMAGES),
    (block("src_image_size_w: 2"), IMAGES, "E10052", block("src_image_size_w: 0"), IMAGES),
    (block("src_image_size_h: 2"), IMAGES, "E10052", DYNAMIC, IMAGES),
    (block(""), ["--input_format=ND"], "E10001", block(""), ["--input_format=NCHW"]),
    (DYNAMIC, ["--enable_small_channel=1"], "E10001", block(""), ["--enable_small_channel=1"]),
    (block(""), [SMALL, "--input_shape=a:1,5,8,8"], "E10001", block(""), [SMALL, "--input_shape=a:1,4,8,8"]),
    (
        block(""),
        [SMALL, "--input_shape=a:1,8,8,5", "--input_format=NHWC", "--framework=3"],
        "E10001",
        block(""),
        [SMALL, "--input_shape=a:1,8,8,4", "--input_format=NHWC", "--framework=3"],
    ),
    (block(""), [SMALL, "--input_shape=a:1,5,8,8"], "E10001", block(""), ["--input_shape=a:1,5,8,8"]),
    (block("src_image_size_w: 256"), SIZED, "usage", block("src_image_size_w: 224"), SIZED),
    (block("src_image_size_h: 224"), SIZED, "usage", block("src_image_size_h: 192"), SIZED),
    (block("src_image_size_h: 224"), SIZED, "usage", block("src_image_size_h: 224"), OPEN),
    (block(f"padding: true {WHOLE}"), SIZED, "usage", block(f"padding: true {PADDED}"), SIZED),
    (
        block(f"crop: true {WHOLE} crop_size_w: 192"),
        SIZED,
        "usage",
        block(f"crop: true {WHOLE} crop_size_w: 224"),
        SIZED,
    ),
    (block("src_image_size_w: 256"), SIZED, "usage", DYNAMIC, SIZED),
    (DYNAMIC, batched(8), "usage", DYNAMIC, batched(2)),
    (DYNAMIC.replace("150528", "602111"), batched(8), "usage", DYNAMIC.replace("150528", "602112"), batched(8)),
    (
        DYNAMIC.replace("150528", "63"),
        ["--input_shape=a:-1,1,8,4", "--dynamic_batch_size=1,2"],
        "usage",
        DYNAMIC.replace("150528", "64"),
        ["--input_shape=a:-1,1,8,4", "--dynamic_batch_size=1,2"],
    ),
    (
        block(""),
        ["--input_shape=a:-1,3", "--dynamic_dims=1;2", "--input_format=ND"],
        "E10001",
        block(""),
        ["--input_shape=a:-1,3", "--dynamic_batch_size=1,2"],
    ),
]


@pytest.mark.parametrize("case", BESIDE)
def test_aipp_beside_other_options(tmp_path, case):
    text, more, code, whole, fixed = case
    assert code in linted(tmp_path, text, *more)
    assert linted(tmp_path, whole, *fixed) == []


def test_channels_are_those_of_the_graph_where_the_command_has_no_shape(tmp_path):
    for channels, codes in ((5, ["E10001"]), (4, [])):
        graph = GraphFacts((InputFacts("a", (1, channels, 2, 2), "FLOAT"),))
        assert linted(tmp_path, block(""), SMALL, graph=graph) == codes
    assert linted(tmp_path, block(""), SMALL, graph=GraphFacts((InputFacts("a", (5, 5), "FLOAT"),))) == []


def test_the_input_must_exist(tmp_path):
    graph = GraphFacts((InputFacts("a", (1, 3, 2, 2), "FLOAT"),))
    assert linted(tmp_path, block("related_input_rank: 1"), graph=graph) == ["E10052"]
    assert linted(tmp_path, block("related_input_rank: 0"), graph=graph) == []
    assert linted(tmp_path, block(""), "--input_fp16_nodes=a", graph=graph) == ["E10034"]


def test_a_missing_file_is_no_silence(tmp_path):
    assert [problem.code for problem in lint(parse_command(BASE), None, None, folder=tmp_path)] == ["E10001"]


def test_small_channels_need_aipp(tmp_path):
    command = parse_command([*BASE[:-1], "--enable_small_channel=1"])
    assert [problem.code for problem in lint(command, None, None, folder=tmp_path)] == ["E10001"]


WIDE = "src_image_size_w: 1080 src_image_size_h: 8 padding: true left_padding_size: {} right_padding_size: {}"
CROPPED = "src_image_size_w: 2000 src_image_size_h: 8 crop: true crop_size_w: 1079 padding: true left_padding_size: {}"


@pytest.mark.parametrize(
    ("fields", "soc", "legal"),
    [
        (WIDE.format(0, 0), "Ascend310P3", True),
        (WIDE.format(1, 0), "Ascend310P3", False),
        (WIDE.format(0, 1), "Ascend310B4", False),
        (WIDE.format(1, 1), "Ascend950_1", True),
        (CROPPED.format(1), "Ascend310P3", True),
        (CROPPED.format(2), "Ascend310P3", False),
    ],
)
def test_a_padded_picture_is_at_most_1080_wide(fields, soc, legal):
    problems = aipp_problems(parse_aipp(block(fields)).blocks, soc)
    assert [problem.code for problem in problems] == ([] if legal else ["E10052"])
