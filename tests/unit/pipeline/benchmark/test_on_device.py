"""Batches of `inferry bench` on a backend that runs compiled shapes only."""

import pytest

from inferry.core.errors import UsageError
from inferry.core.protocols import SessionOptions
from inferry.core.samples import Audio, Sample
from inferry.pipeline.benchmark.cells import own_job
from inferry.pipeline.benchmark.configurations import configurations
from inferry.pipeline.benchmark.workload import Item, Pool, Workload, make_workload, pack
from inferry.pipeline.model import Model

LENGTHS = (2000, 3000, 2500, 5000, 4000, 9000, 7000)


@pytest.fixture
def model(tiny_bundle, compile_for_npu, installed_acl):
    bundle = compile_for_npu(tiny_bundle, sizes={"samples": (6000, 14_000)}, batch_sizes=(1, 4))
    with Model(bundle, "ascend", SessionOptions()) as opened:
        yield opened


@pytest.fixture
def items(model, tiny):
    samples = [Sample(f"s{length}", Audio(tiny.sound(length, 1), tiny.RATE)) for length in LENGTHS]
    return [Item(sample, model.processor.process(sample.source), 0.0, 0.0) for sample in samples]


def test_batches_are_those_of_a_run_and_padding_is_that_of_the_device(model, items):
    (configuration,) = configurations(["ascend"], ["fp32"], [1], ["ascend"])
    job = own_job(configuration, model, Workload(tuple(items), (), "a test"), 4)
    assert [[item.features.length for item in batch] for batch in job.batches] == [
        [9000, 7000],
        [5000, 4000, 3000, 2500],
        [2000],
    ]
    assert job.padded == ((4, 14_000), (4, 6000), (1, 6000))
    assert job.padding_efficiency == pytest.approx(sum(LENGTHS) / (4 * 14_000 + 5 * 6000))
    assert len(job.run().predictions) == len(LENGTHS)


def test_samples_that_no_shape_takes_are_left_out_with_their_reason(model, tiny):
    samples = {length: Sample(f"s{length}", Audio(tiny.sound(length, 1), tiny.RATE)) for length in (3000, 15_000)}
    workload = make_workload(model, Pool(samples, {length: length for length in samples}, (), "a test"), 10)
    assert [item.sample.id for item in workload.items] == ["s3000"]
    (left_out,) = workload.left_out
    assert left_out.startswith("s15000: no shape of this om takes inputs of (1, 15000) (1,)")


def test_batches_that_nothing_is_compiled_for_are_refused(model, items):
    with pytest.raises(UsageError, match=r"--batch-sizes 8: Ascend310P3-fp32-\w+ was compiled for .* at most 4: name"):
        pack(model, items, 8)
