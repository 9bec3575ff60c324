"""Ticks of axes: few, round, written as plain numbers where those are short, and never two alike."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

PLAIN = (1e-4, 1e5)  # numbers from and below which are written out; others as powers of ten
WIDE = 3.0  # decades; over more than these only powers of ten are marked
FEW, MOST = 4, 8
MANTISSAS = ((1.0, 2.0, 5.0), (1.0, 3.0), (1.0, 1.5, 2.0, 3.0, 5.0, 7.0))
SUPERSCRIPT = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def log_ticks(low: float, high: float, *, most: int = MOST) -> tuple[list[float], list[str]]:
    """Where a logarithmic axis is marked, and what stands there.

    Up to three decades these are 1, 2 and 5 times powers of ten or, on a narrow range, steps of one size with as many
    digits as tell them apart; over more decades powers of ten, or every so many of them.

    Args:
        low, high: The ends of the axis, both positive, in its own unit (not their logarithms).
        most: How many numbers there is room for; on a narrow range up to six are taken all the same.

    Returns:
        Three to eight values between the two, ascending, and their labels, no two alike; one where the ends are equal.
        Raises ValueError for ends that are not positive and finite, or in the wrong order.
    """
    if not 0 < low <= high < math.inf:
        raise ValueError(f"A logarithmic axis cannot run from {low:g} to {high:g}: 0 < low <= high is needed.")
    bottom, top = math.log10(low), math.log10(high)
    if top - bottom > WIDE:
        return _powers(bottom, top, most)
    decades = range(math.floor(bottom), math.floor(top) + 1)
    for mantissas in MANTISSAS if most >= FEW else ():
        marks = (_times(mantissa, decade) for decade in decades for mantissa in mantissas)
        values = [value for value in marks if low <= value <= high]
        if FEW <= len(values) <= most:
            return values, [_plain(value) for value in values]
    if top - bottom > 1.5:
        values = [value for value in (_times(1.0, decade) for decade in decades) if low <= value <= high]
        return values, [_plain(value) for value in values]
    return _even(low, high, FEW if most >= MOST else FEW - 1)


def log_axis(values: Iterable[ArrayLike]) -> dict[str, Any]:
    """Settings of a vertical logarithmic axis of Plotly's that shows these values, marked as :func:`log_ticks` would.

    The marks are Plotly's own, so that they follow when a viewer zooms or hides a line.

    Args:
        values: Arrays of everything drawn; what is not positive and finite has no place there.
    """
    everything = np.concatenate([np.ravel(np.asarray(one, dtype=float)) for one in values] or [np.empty(0)])
    shown = everything[np.isfinite(everything) & (everything > 0)]
    decades = 1.1 * float(np.log10(shown.max()) - np.log10(shown.min())) if shown.size else 0.0  # with Plotly's margin
    if decades > 1.1 * WIDE:
        return {
            "type": "log",
            "exponentformat": "power",
            "minorloglabels": "none",
            "nticks": min(7, int(decades / 0.75)),
        }
    # Plotly writes 1, 2 and 5 of every decade where a mark would take 0.3 to 0.7 of one; below that every digit, which
    # collides. Within one decade it takes even steps, half as many again as it is asked for.
    most = 6 if decades < 0.5 else 4 if decades < 1 else max(3, min(8, int(decades / 0.35)))
    return {"type": "log", "tickformat": ".9~g", "nticks": most}


def labels_of(values: Sequence[float]) -> list[str]:
    """Evenly spaced values with three significant digits, or as many more as tell them apart."""
    step = min(np.diff(values), default=0.0)
    for digits in range(3, 16):
        labels = [f"{value:.{digits}g}" for value in values]
        if all(abs(float(label) - value) <= 0.01 * step for label, value in zip(labels, values, strict=True)):
            break
    return labels


def _powers(bottom: float, top: float, most: int) -> tuple[list[float], list[str]]:
    """Powers of ten, or every so many of them, between two logarithms more than three apart."""
    first, last = math.ceil(bottom), math.floor(top)
    every = -(-(last - first + 1) // max(2, most))
    decades = range(-(-first // every) * every, last + 1, every)
    values = [_times(1.0, decade) for decade in decades]
    plain = all(PLAIN[0] <= value < PLAIN[1] for value in values)
    return values, [_plain(value) if plain else _power(decade) for value, decade in zip(values, decades, strict=True)]


def _even(low: float, high: float, least: int) -> tuple[list[float], list[str]]:
    """Steps of one round size over less than a decade; the ends themselves where doubles end the search."""
    size = math.floor(math.log10(high - low)) if high > low else 0
    for exponent in (size, size - 1):
        for mantissa in (5.0, 2.5, 2.0, 1.0) if high > low else ():
            step = _times(mantissa, exponent)
            first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
            if last - first + 1 >= least and last < 1e15:
                whole = range(int(first), int(last) + 1)
                values = [min(max(_times(n * mantissa, exponent), low), high) for n in whole]
                return values, _alike(values, exponent - (mantissa == 2.5))
    return [low], [_plain(low)]


def _alike(values: Sequence[float], last: int) -> list[str]:
    """Numbers with as many digits each, down to the decade of their last one."""
    if PLAIN[0] <= values[0] and values[-1] < PLAIN[1]:
        return [f"{value:.{max(0, -last)}f}" for value in values]
    decade = math.floor(math.log10(values[-1]))
    return [f"{value / _times(1.0, decade):.{max(0, decade - last)}f}×{_power(decade)}" for value in values]


def _times(mantissa: float, decade: int) -> float:
    """The double nearest to a decimal number; multiplied powers would be off by a little."""
    return float(f"{mantissa}e{decade}")


def _plain(value: float) -> str:
    """A number with the digits that it has, or as a multiple of a power of ten where that is shorter."""
    if PLAIN[0] <= value < PLAIN[1]:
        return f"{value:.12f}".rstrip("0").rstrip(".")
    mantissa, decade = f"{value:.6e}".split("e")
    mantissa = mantissa.rstrip("0").rstrip(".")
    return _power(int(decade)) if mantissa == "1" else f"{mantissa}×{_power(int(decade))}"


def _power(decade: int) -> str:
    """A power of ten as it is printed; 10⁰ and 10¹ are plain."""
    return ("1", "10")[decade] if decade in (0, 1) else f"10{str(decade).translate(SUPERSCRIPT)}"
