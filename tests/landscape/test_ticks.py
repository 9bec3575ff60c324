"""Ticks of logarithmic axes: few, distinct, inside; what is written is what is marked."""

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from landscape.ticks import log_axis, log_ticks

SUPERSCRIPTS = str.maketrans("⁻⁰¹²³⁴⁵⁶⁷⁸⁹", "-0123456789")


def meant(label: str) -> float:
    mantissa, _, power = label.rpartition("×")
    if mantissa or not set("⁻⁰¹²³⁴⁵⁶⁷⁸⁹").isdisjoint(power):
        return float(mantissa or 1) * 10.0 ** (int(power[2:].translate(SUPERSCRIPTS)) if power[2:] else 1)
    return float(power)


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.08, 6.0, ["0.1", "0.2", "0.5", "1", "2", "5"]),
        (2.288, 2.305, ["2.290", "2.295", "2.300", "2.305"]),
        (0.5, 2.5, ["0.5", "0.7", "1", "1.5", "2"]),
        (0.001, 1.0, ["0.001", "0.003", "0.01", "0.03", "0.1", "0.3", "1"]),
        (0.003, 200.0, ["0.01", "0.1", "1", "10", "100"]),
        (3e-7, 0.02, ["10⁻⁶", "10⁻⁵", "10⁻⁴", "10⁻³", "10⁻²"]),
        (1e-4, 1e6, ["10⁻⁴", "10⁻²", "1", "10²", "10⁴", "10⁶"]),
        (2e-7, 6e-6, ["2×10⁻⁷", "5×10⁻⁷", "10⁻⁶", "2×10⁻⁶", "5×10⁻⁶"]),
        (2.0, 2.0, ["2"]),
    ],
)
def test_known_ranges_are_marked_as_papers_would(low, high, labels):
    assert log_ticks(low, high)[1] == labels


@given(st.floats(-12, 12), st.floats(1e-7, 24))
@example(0.3617, 0.006)
@example(-0.001, 3.0)
@example(-0.9, 0.95)
def test_any_range_has_three_to_eight_ticks_inside_it_and_no_two_labels_alike(bottom, decades):
    low, high = 10.0**bottom, 10.0 ** (bottom + decades)
    values, labels = log_ticks(low, high)
    assert 3 <= len(values) <= 8
    assert len(set(labels)) == len(labels) == len(values)
    assert (np.diff(values) > 0).all()
    assert low * (1 - 1e-12) <= values[0]
    assert values[-1] <= high * (1 + 1e-12)
    np.testing.assert_allclose([meant(label) for label in labels], values, rtol=1e-9)
    gaps = np.diff(np.log10(values)) / decades
    assert gaps.min() > 0.04, "numbers of 12 pixels do not collide on an axis of 300"
    if decades <= 3 and low >= 1e-4 and high < 1e5:
        assert not any("10⁻" in label or "×" in label for label in labels)


@given(st.floats(-6, 5), st.floats(0.01, 12), st.integers(2, 8))
def test_no_more_ticks_than_there_is_room_for(bottom, decades, most):
    values, labels = log_ticks(10.0**bottom, 10.0 ** (bottom + decades), most=most)
    assert 1 <= len(values) <= (max(most, 6) if decades <= 3 else most)
    assert len(set(labels)) == len(values)


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (-1.0, 1.0), (2.0, 1.0), (1.0, np.inf), (np.nan, 1.0)])
def test_ends_that_no_such_axis_has_are_refused(low, high):
    with pytest.raises(ValueError, match="logarithmic axis"):
        log_ticks(low, high)


def test_axes_of_plotly_are_marked_more_coarsely_where_numbers_would_collide():
    assert log_axis([[0.1, 1.2], [np.nan, 0.0, -1.0]]) == log_axis([[0.1, 1.2]])
    assert log_axis([[0.1, 1.2]])["nticks"] == 3, "1, 2 and 5 alone"
    assert log_axis([[0.1, 10.0]])["nticks"] > 3
    assert "tickformat" not in log_axis([[1e-6, 1.0]])
    assert log_axis([])["type"] == log_axis([[0.0]])["type"] == "log"
