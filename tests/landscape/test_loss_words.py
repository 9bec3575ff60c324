"""A loss is called the same everywhere, and only an entropy is in nats."""

import numpy as np
import pytest

from landscape.figure_data import PathData, RunCurves, SurfaceData
from landscape.figures import contour_2d, surface_3d
from landscape.figures_lines import loss_along_path, training_curves
from landscape.figures_point import SliceData, slice_through_point
from landscape.loss_words import in_unit, loss_label, loss_word, sal_label


@pytest.mark.parametrize(
    ("name", "label", "test", "sal", "value"),
    [
        ("", "loss (nats)", "test loss (nats)", "SAL (nats)", "1 nats"),
        ("next-token", "loss (nats)", "test loss (nats)", "SAL (nats)", "1 nats"),
        ("mse", "mse loss", "test mse loss", "SAL of the mse loss", "1"),
        ("mine.losses:dice_loss", "dice_loss", "test dice_loss", "SAL of the dice_loss", "1"),
    ],
)
def test_words(name, label, test, sal, value):
    assert (loss_label(name), loss_label(name, "test loss"), sal_label(name), in_unit("1", name)) == (
        label,
        test,
        sal,
        value,
    )
    assert loss_word(name) in loss_label(name)


def test_no_figure_of_another_loss_speaks_of_nats():
    grid, names = np.linspace(-1, 1, 3), ("PC 1", "PC 2")
    loss = np.arange(9.0).reshape(3, 3) + 1
    surface = SurfaceData(grid, grid, loss, None, 9, names, "test data", "joint PCA", None, None, (0,), loss_name="mse")
    line = np.linspace(0, 1, 3)
    path = PathData(
        "a-s0", "clean", np.stack([line, line], 1), np.arange(3), line, line, line + 1, line + 1, loss_name="mse"
    )
    drawn = [
        surface_3d([surface], [[path]]),
        contour_2d([surface], [[path]]),
        loss_along_path([path]),
        training_curves([RunCurves("a-s0", "clean", line, line, {"test_loss": line + 1}, "mse")]),
        slice_through_point([SliceData("along PC 1", "test data", "test", line, line, False, "mse")], unit="weights"),
    ]
    for figure in drawn:
        text = figure.to_json()
        assert "nats" not in text
        assert "mse loss" in text
    assert "nats" in loss_along_path([PathData(**{**path.__dict__, "loss_name": ""})]).to_json()
