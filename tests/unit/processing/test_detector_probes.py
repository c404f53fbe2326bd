import numpy as np

from inferry.processing.detector_probes import detector_probes


def test_the_probes_are_small_drawn_and_always_the_same():
    probes = detector_probes()
    assert [probe["image_size"].tolist() for probe in probes] == [[128, 160], [100, 150], [320, 256]]
    assert [probe["image"].shape for probe in probes] == [(1, 3, 128, 160), (1, 3, 128, 160), (1, 3, 320, 256)]
    for probe, again in zip(probes, detector_probes(), strict=True):
        np.testing.assert_array_equal(probe["image"], again["image"])


def test_no_part_of_a_picture_is_flat():
    for probe in detector_probes():
        height, width = probe["image_size"]
        picture = probe["image"][0, :, :height, :width]
        for row in range(0, height - 16, 16):
            assert (picture[:, row : row + 16, :16].std(axis=(1, 2)) > 0.05).all()
