"""Depth, key points and segments against their plain definitions."""

import numpy as np
from scipy.ndimage import gaussian_filter

from training.rooms.targets import KEYPOINT_SCALE, SIGMAS, connected, keypoints, segments, stored_depth


def test_depth_is_counted_in_512ths_of_a_metre():
    distance = np.array([[1.0, 2.0009, 200.0, 3.0]])
    missing = np.array([[False, False, False, True]])
    assert stored_depth(distance, missing).tolist() == [[512, 1024, 65534, 65535]]


def test_keypoints_are_the_largest_determinant_of_the_hessian():
    grey = np.random.default_rng(0).integers(0, 256, (20, 20), dtype=np.uint8)
    image = grey / 255.0
    strengths = []
    for sigma in SIGMAS:
        rows, columns, mixed = (gaussian_filter(image, sigma, order=order) for order in ((2, 0), (0, 2), (1, 1)))
        strengths.append(sigma**4 * (rows * columns - mixed**2))
    expected = np.clip(np.max(strengths, axis=0) * KEYPOINT_SCALE, 0, 65535)
    assert np.abs(keypoints(grey) - expected).max() <= 0.5 + 1e-6
    assert expected.max() > 100


def test_a_flat_image_has_no_keypoints():
    assert keypoints(np.full((16, 16), 90, np.uint8)).max() == 0


def flood(surface):
    """Connected parts, one flood after another."""
    parts, count = np.full(surface.shape, -1), 0
    for start in np.ndindex(surface.shape):
        if parts[start] >= 0:
            continue
        heap = [start]
        parts[start] = count
        while heap:
            i, j = heap.pop()
            for a, b in ((i + 1, j), (i - 1, j), (i, j + 1), (i, j - 1)):
                if (
                    0 <= a < len(parts)
                    and 0 <= b < parts.shape[1]
                    and parts[a, b] < 0
                    and (surface[a, b] == surface[i, j])
                ):
                    parts[a, b] = count
                    heap.append((a, b))
        count += 1
    return parts


def test_parts_of_equal_surface_are_connected():
    surface = np.random.default_rng(1).integers(0, 3, (15, 12))
    assert np.array_equal(connected(surface), flood(surface))


def test_segments_keep_the_parts_and_shuffle_their_numbers():
    surface = np.random.default_rng(2).integers(0, 3, (12, 12))
    parts = connected(surface)
    one, two = segments(surface, np.random.default_rng(0)), segments(surface, np.random.default_rng(1))
    assert len({*zip(parts.ravel().tolist(), one.ravel().tolist(), strict=True)}) == parts.max() + 1
    assert len(np.unique(one)) == parts.max() + 1
    assert not np.array_equal(one, two)


def test_more_parts_than_numbers_share_the_last():
    surface = np.arange(400).reshape(20, 20)
    surface[:4] = 0
    found = segments(surface, np.random.default_rng(0))
    assert len(np.unique(found)) == 256
    assert len(np.unique(found[:4])) == 1
    assert (found == found[0, 0]).sum() == 80
