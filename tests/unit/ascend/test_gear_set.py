import pytest

from inferry.ascend.atc_command import parse_command
from inferry.ascend.atc_lint import lint
from inferry.ascend.atc_write import write_command
from inferry.ascend.gear_set import Gear, GearKind, GearSet, require_few
from inferry.core.errors import UsageError
from inferry.core.specs import TensorSpec

SOUND = (TensorSpec("input_values", "float32", ("batch", "samples")), TensorSpec("input_lengths", "int64", ("batch",)))
PICTURE = (TensorSpec("pixels", "float32", ("batch", 3, "height", "width")),)
FIXED = (TensorSpec("pixels", "float32", ("batch", 3, 224, 224)),)
TEXT = (TensorSpec("ids", "int64", ("batch", "tokens")), TensorSpec("boxes", "float32", ("batch", "regions", 4)))
SCALED = (TensorSpec("pixels", "float32", ("batch", 3, 32, 32)), TensorSpec("scale", "float32", ()))


def sound(*pairs):
    return GearSet(SOUND, tuple(Gear(rows, {"samples": size}) for rows, size in pairs))


def picture(*sizes, rows=(1,)):
    gears = tuple(Gear(n, {"height": h, "width": w}) for h, w in sizes for n in rows)
    return GearSet(PICTURE, gears)


CASES = [  # gears, kind, input_format, input_shape, gears as atc is told
    (sound((1, 16_000)), "static", "ND", "input_values:1,16000;input_lengths:1", None),
    (sound((1, 160), (4, 160)), "dynamic_batch_size", "ND", "input_values:-1,160;input_lengths:-1", "1,4"),
    (sound((4, 160), (4, 320)), "dynamic_dims", "ND", "input_values:4,-1;input_lengths:4", "160;320"),
    (sound((1, 9), (4, 9), (1, 8)), "dynamic_dims", "ND", "input_values:-1,-1;input_lengths:-1", "1,9,1;4,9,4;1,8,1"),
    (GearSet(FIXED, (Gear(8),)), "static", "NCHW", "pixels:8,3,224,224", None),
    (GearSet(FIXED, (Gear(1), Gear(8))), "dynamic_batch_size", "NCHW", "pixels:-1,3,224,224", "1,8"),
    (picture((224, 224), (448, 320)), "dynamic_image_size", "NCHW", "pixels:1,3,-1,-1", "224,224;448,320"),
    (picture((8, 8), (9, 8)), "dynamic_dims", "ND", "pixels:1,3,-1,8", "8;9"),
    (picture((8, 8), (9, 9), rows=(1, 2)), "dynamic_dims", "ND", "pixels:-1,3,-1,-1", "1,8,8;2,8,8;1,9,9;2,9,9"),
    (GearSet(SCALED, (Gear(1), Gear(2))), "dynamic_dims", "ND", "pixels:-1,3,32,32;scale:", "1;2"),
    (
        GearSet(TEXT, (Gear(1, {"tokens": 32, "regions": 5}), Gear(1, {"tokens": 32, "regions": 9}))),
        "dynamic_dims",
        "ND",
        "ids:1,32;boxes:1,-1,4",
        "5;9",
    ),
]


@pytest.mark.parametrize(("gears", "kind", "input_format", "input_shape", "told"), CASES)
def test_atc_is_told_the_gears_in_the_least_general_way(gears, kind, input_format, input_shape, told):
    assert gears.kind == kind
    options = {"input_format": input_format, "input_shape": input_shape}
    assert gears.atc_options() == (options if told is None else options | {kind: told})


@pytest.mark.parametrize("gears", [case[0] for case in CASES])
def test_the_linter_accepts_what_is_told(gears):
    command = write_command(gears, model="m.onnx", stem="m", soc="Ascend310P3", precision="fp16")
    assert lint(parse_command(command), None, None) == ()


@pytest.mark.parametrize("gears", [case[0] for case in CASES])
def test_every_gear_alone_is_static(gears):
    parts = gears.split()
    assert [part.kind for part in parts] == [GearKind.STATIC] * len(gears.gears)
    assert [part.gears for part in parts] == [(gear,) for gear in gears.gears]


def test_ais_bench_is_told_one_gear():
    assert sound((1, 160)).ais_bench_options(Gear(1, {"samples": 160})) == ()
    assert sound((1, 160), (4, 160)).ais_bench_options(Gear(4, {"samples": 160})) == ("--dymBatch", "4")
    image = picture((224, 224), (448, 320))
    assert image.ais_bench_options(image.gears[1]) == ("--dymHW", "448,320")
    dims = sound((1, 160), (4, 320))
    assert dims.ais_bench_options(dims.gears[1]) == ("--dymDims", "input_values:4,320;input_lengths:4")


UNADDRESSABLE = [
    sound((1, 160), (1, 100_000)),
    GearSet(SCALED, (Gear(1), Gear(2))),
    GearSet((TensorSpec("a:0", "float32", ("batch", "n")),), (Gear(1, {"n": 1}), Gear(1, {"n": 2}))),
    GearSet((TensorSpec("a", "float32", ("n", *[1] * 7)),), (Gear(1, {"n": 1}), Gear(1, {"n": 2}))),
]


@pytest.mark.parametrize("gears", UNADDRESSABLE)
def test_ais_bench_cannot_be_told_every_gear(gears):
    if gears.kind is GearKind.DIMS:
        assert not gears.addressable
        with pytest.raises(UsageError, match="compile one om for each gear"):
            gears.ais_bench_options(gears.gears[0])
    assert all(part.addressable for part in gears.split())


def test_the_largest_batch_that_ais_bench_sets_can_be_told():
    assert sound((1, 160), (4096, 160)).addressable
    gears = sound((1, 160), (4097, 160))
    assert not gears.addressable
    with pytest.raises(UsageError, match="compile one om for each gear"):
        gears.ais_bench_options(gears.gears[0])
    # In an om of its own the batch is the om's.
    assert [part.ais_bench_options(part.gears[0]) for part in gears.split()] == [(), ()]


def test_the_largest_size_of_five_digits_can_be_told():
    assert sound((1, 160), (1, 99_999)).addressable


def test_the_smallest_gear_that_holds_a_sample():
    gears = sound((1, 100), (4, 100), (1, 200))
    assert gears.smallest({"samples": 1}) == Gear(1, {"samples": 100})
    assert gears.smallest({"samples": 100}) == Gear(1, {"samples": 100})
    assert gears.smallest({"samples": 101}) == Gear(1, {"samples": 200})
    assert gears.smallest({"samples": 201}) is None


def test_the_smallest_gear_is_the_one_with_the_fewest_elements():
    gears = GearSet(TEXT, tuple(Gear(1, {"tokens": t, "regions": r}) for t, r in ((64, 5), (8, 50), (64, 50))))
    assert gears.smallest({"tokens": 8, "regions": 5}) == gears.gears[0]
    assert gears.smallest({"tokens": 8, "regions": 6}) == gears.gears[1]


def test_names_are_folders():
    gear = Gear(4, {"samples": 160, "my-axis": 2})
    assert (gear.shape_name, gear.name) == ("samples160_myaxis2", "samples160_myaxis2_b4")
    assert (Gear(1).shape_name, Gear(1).name) == ("items", "items_b1")
    assert sound((1, 9), (4, 9), (1, 8)).shapes == (Gear(1, {"samples": 9}), Gear(1, {"samples": 8}))


def test_a_gear_fixes_every_dimension_but_the_batch():
    gear = Gear(4, {"samples": 160})
    assert [gear.shape(spec) for spec in SOUND] == [(4, 160), (4,)]
    assert gear.fixed(SOUND[0]).dims == ("batch", 160)
    assert gear.fixed(SCALED[1]).dims == ()
    with pytest.raises(UsageError, match="'tokens', and the gear fixes batch, samples only"):
        gear.shape(TEXT[0])


def test_more_gears_than_atc_takes_are_refused():
    gears = [Gear(rows) for rows in range(1, 258)]
    require_few(gears[:100], "Ascend310P3")
    require_few(gears[:256], "Ascend950DT_9591")
    with pytest.raises(UsageError, match="101 gears; Ascend310P3 takes at most 100"):
        require_few(gears[:101], "Ascend310P3")
    with pytest.raises(UsageError, match="257 gears"):
        require_few(gears, "Ascend950DT_9591")
    with pytest.raises(UsageError, match="items_b1 stands twice"):
        require_few([Gear(1), Gear(1)], "Ascend310P3")
