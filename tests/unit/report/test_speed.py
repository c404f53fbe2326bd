from inferry.report.speed import Speed, speed_section


def accuracy(rates, with_dropped, dropped=0):
    rows = [{"name": name, "percent": percent} for name, percent in rates.items()]
    return {"rates": rows, "scored": 24 - dropped, "dropped": dropped, "main_with_dropped": with_dropped}


def result(batch_size, items, **more):
    return {
        "batch_size": batch_size,
        "rounds": 5,
        "settled": True,
        "latency_ms": {"p50": 1000 * batch_size / items, "p90": 20.0, "p99": 30.0},
        "items_per_second": items,
        "audio_seconds_per_second": 3 * items,
        "padding_efficiency": 0.9,
        "stage_seconds": {"infer": 1.0},
        "peak_memory_bytes": 300e6,
        "fraction_of_ceiling": 0.31,
        "first_result_seconds": 1.25,
        "accuracy": accuracy({"WER": 6.06, "CER": 2.37, "CER without spaces": 2.5}, 6.06),
    } | more


def bench(*configurations, ratios=()):
    row = {"configurations": configurations, "ratios": ratios, "data": "24 clips", "signature": {"inferry": "1"}}
    return Speed.from_json(row, "bench.json")


FAST = {"name": "fast", "baseline": False, "results": [result(1, 60.0), result(8, 94.5)]}
RECIPE = {
    "name": "recipe <old>",
    "baseline": True,
    "results": [
        result(
            8,
            11.25,
            settled=False,
            audio_seconds_per_second=None,
            accuracy=accuracy({"WER": 8.5}, 19.5, dropped=3),
        )
    ],
}
RATIO = {
    "configuration": "fast",
    "against": "recipe <old>",
    "batch_size": 8,
    "median": 8.4,
    "least": 8.1,
    "greatest": 8.6,
    "verdict": "faster",
}


def test_the_table_is_that_of_the_old_recipes():
    page = speed_section(["a"], [bench(FAST, RECIPE, ratios=[RATIO])])
    assert page.index(">WER %<") < page.index(">items/s<") < page.index(">p50 ms<")
    assert '<th>fast</th><td class="number">1</td><td class="number">6.06</td>' in page
    assert '<th></th><td class="number">8</td>' in page
    assert "recipe &lt;old&gt; (3 dropped)" in page
    assert ">8 *<" in page
    assert "did not settle" in page
    assert "8.10 … 8.60" in page
    assert ">WER with dropped %<" in page
    assert ">19.50<" in page
    assert "Measured on 24 clips." in page


def test_the_first_two_rates_have_columns():
    page = speed_section(["a"], [bench(FAST)])
    assert ">CER %<" in page
    assert "without spaces" not in page


def test_the_batch_sweep_of_a_picture_classifier():
    """Batch size, accuracy and pictures a second, as the old recipe's table has them."""
    rates = {"top-1": 85.0, "top-5": 97.5}
    rows = [
        result(size, 10.0 * size, audio_seconds_per_second=None, accuracy=accuracy(rates, None))
        for size in (1, 4, 8, 16, 32)
    ]
    page = speed_section(["a"], [bench({"name": "onnxruntime fp32", "results": rows})])
    assert page.index(">batch size<") < page.index(">top-1 %<") < page.index(">top-5 %<") < page.index(">items/s<")
    for size in (1, 4, 8, 16, 32):
        cells = "".join(f'<td class="number">{cell}</td>' for cell in (size, "85.00", "97.50", f"{10 * size}.00"))
        assert cells in page
    assert "audio" not in page
    assert "dropped" not in page


def test_nothing_unsettled_and_nothing_scored_is_said_of_nothing():
    bare = {"name": "x", "results": [result(1, 5.0, accuracy=None, peak_memory_bytes=None)]}
    page = speed_section(["a"], [bench(bare)])
    assert "did not settle" not in page
    assert "WER" not in page
    assert "range over rounds" not in page
    assert "Ceiling" not in page


def test_nothing_dropped_needs_no_column_of_its_own():
    assert "with dropped" not in speed_section(["a"], [bench(FAST)])


def test_the_ceiling_is_named():
    row = {"configurations": [FAST], "ceiling": {"fp32_operations_per_second": 65e9}, "data": "x"}
    assert "fp32 65." in speed_section(["a"], [Speed.from_json(row, "bench.json")])


def test_a_run_without_measurements_says_what_makes_them():
    assert "inferry bench" in speed_section(["a"], ["run inferry bench"])


def test_what_bench_says_beside_its_numbers_is_on_the_page():
    broken = {"name": "new", "results": [result(1, 60.0, startup_problem="no <room>")]}
    row = {"configurations": [broken], "left_out": [f"s{index}: broken" for index in range(7)], "bundle_bytes": 1.6e6}
    page = speed_section(["a"], [Speed.from_json(row | {"uncounted_operators": ["Einsum"]}, "bench.json")])
    assert "Not measured with: s0: broken; s1: broken; s2: broken; s3: broken; s4: broken; and 2 more." in page
    assert "not in the operation counts: Einsum." in page
    assert "No first result: no &lt;room&gt;" in page
    assert "The bundle has 1.6 MB." in page
    assert "Measured on" not in page
    assert "Measured on 24 clips." in speed_section(["a"], [bench(FAST)])
