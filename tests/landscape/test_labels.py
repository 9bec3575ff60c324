"""Direct labels cover neither each other nor points."""

import itertools

import numpy as np
import plotly.graph_objects as go
import pytest

from landscape.labels import LETTER, SIZE, label_points, place_labels


def boxes(points, offsets, texts):
    for (x, y), text in zip(points + offsets, texts, strict=True):
        half = LETTER * SIZE * len(text) / 2
        yield x - half, y - SIZE / 2, x + half, y + SIZE / 2


def overlap(a, b):
    return min(a[2], b[2]) > max(a[0], b[0]) and min(a[3], b[3]) > max(a[1], b[1])


@pytest.mark.parametrize("seed", range(4))
def test_crowded_labels_do_not_overlap(seed):
    chance = np.random.default_rng(seed)
    points = np.concatenate([chance.normal([150, 80], 25, size=(9, 2)), chance.uniform([60, 40], [560, 300], (6, 2))])
    texts = [f"method-{k}" for k in range(15)]
    offsets = place_labels(points, texts, size=(600, 320), level=160)
    drawn = list(boxes(points, offsets, texts))
    assert not any(overlap(a, b) for a, b in itertools.combinations(drawn, 2))
    dots = [(x - 4, y - 4, x + 4, y + 4) for x, y in points]
    assert not any(overlap(a, dot) for a in drawn for dot in dots)
    assert all(a >= -1 and b >= -1 and c <= 601 and d <= 321 for a, b, c, d in drawn)
    np.testing.assert_array_equal(offsets, place_labels(points, texts, size=(600, 320), level=160))


def test_a_lonely_label_stands_beside_its_point():
    figure = go.Figure()
    label_points(figure, [0.5], [0.5], ["EM"], x_range=(0, 1), y_range=(0, 1))
    (note,) = figure.layout.annotations
    assert (note.text, note.x, note.y, note.ay) == ("EM", 0.5, 0.5, 0)
    assert note.ax > 0
    with pytest.raises(ValueError, match="one label"):
        place_labels([[0, 0]], [], size=(10, 10))
