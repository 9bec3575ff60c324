"""Cheap SAL made truer: the gradient estimate calibrated by a few searches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analysis.threshold import check_table

SCOPES = ("block", "global")
NORMAL = 1.4826  # makes the median absolute deviation a standard deviation for normal data


@dataclass(frozen=True, eq=False)
class Calibration:
    """SAL by gradient, brought to the level of the search.

    Attributes:
        sal: [T, L] calibrated, in nats; zeros stay 0.
        slope: Exponent that all blocks share; offsets: [L], so that log SAL = offset + slope · log estimate.
        log_error: Robust standard deviation of log(calibrated / search) at searched checkpoints that the fit had not
            seen (each left out in turn); None where one checkpoint was searched.
        log_error_raw: The same of the estimate as it was, for comparison.
        searched: Pairs of positive values the fit rests on.
    """

    sal: NDArray[np.float64]
    slope: float
    offsets: NDArray[np.float64]
    log_error: float | None
    log_error_raw: float
    searched: int

    @property
    def error_factor(self) -> float | None:
        """Typical factor between calibrated and searched SAL, at least 1."""
        return None if self.log_error is None else float(np.exp(self.log_error))


def calibrate(gradient: ArrayLike, search: ArrayLike, indices: Sequence[int], *, scope: str = "block") -> Calibration:
    """Fit log search = offset + slope · log gradient at a few checkpoints and apply it to all.

    The slope is the median of the slopes between all pairs of values (Theil 1950, Sen 1968), the offset the median of
    the remainders; up to 29 % of the searches may be wild without spoiling it. With fewer than three searched
    checkpoints the slope within blocks is not known and stays 1.

    Args:
        gradient: [T, L] first-order SAL; search: [t, L] SAL by search; indices: [t] rows of ``gradient`` they belong
            to.
        scope: ``"block"``: every block has its own offset, and pairs of values of one block give the slope;
            ``"global"``: one line for all.

    Raises:
        ValueError: Tables that do not fit together, repeated or missing rows, or no pair of positive values.
    """
    table, found = check_table(gradient, "gradient"), check_table(search, "search")
    rows = np.asarray(indices)
    if found.shape != (rows.size, table.shape[1]) or rows.ndim != 1:
        raise ValueError(
            f"search must be a table of {table.shape[1]} blocks with one row per index, not {found.shape} for "
            f"{rows.size} indices."
        )
    if len(set(rows.tolist())) != rows.size or rows.min() < 0 or rows.max() >= len(table):
        raise ValueError(f"indices must be different rows of the gradient's table, from 0 to {len(table) - 1}.")
    if scope not in SCOPES:
        raise ValueError(f"scope must be 'block' or 'global', not {scope!r}.")
    with np.errstate(divide="ignore"):
        x, y = np.log(table[rows]), np.log(found)
    usable = np.isfinite(x) & np.isfinite(y)
    if not usable.any():
        raise ValueError("No searched checkpoint has a positive SAL by both ways, so there is nothing to fit.")
    slope, offsets = _fit(x, y, usable, scope)
    with np.errstate(divide="ignore"):
        calibrated = np.exp(offsets + slope * np.log(table))
    return Calibration(
        np.where(table > 0, calibrated, 0.0),
        slope,
        offsets,
        _left_out_error(x, y, usable, scope),
        _robust_spread(y[usable] - x[usable]),
        int(usable.sum()),
    )


def _fit(
    x: NDArray[np.float64], y: NDArray[np.float64], usable: NDArray[np.bool_], scope: str
) -> tuple[float, NDArray[np.float64]]:
    """Common slope and the offset of every block [L]; a block without a pair takes the offset of all."""
    if scope == "global":
        slopes = _slopes(x[usable], y[usable])
    else:
        parts = [_slopes(x[usable[:, k], k], y[usable[:, k], k]) for k in range(x.shape[1])]
        slopes = np.concatenate(parts)
    slope = float(np.median(slopes)) if slopes.size and (scope == "global" or len(x) > 2) else 1.0
    rest = np.where(usable, y, 0.0) - slope * np.where(usable, x, 0.0)
    common = float(np.median(rest[usable]))
    offsets = np.full(x.shape[1], common)
    if scope == "block":
        for k in np.flatnonzero(usable.any(axis=0)):
            offsets[k] = np.median(rest[usable[:, k], k])
    return slope, offsets


def _slopes(x: NDArray[np.float64], y: NDArray[np.float64]) -> NDArray[np.float64]:
    """Slopes between all pairs of points with different x."""
    i, j = np.triu_indices(x.size, 1)
    run = x[j] - x[i]
    return np.asarray((y[j] - y[i])[run != 0] / run[run != 0])


def _left_out_error(
    x: NDArray[np.float64], y: NDArray[np.float64], usable: NDArray[np.bool_], scope: str
) -> float | None:
    residuals = []
    for left_out in range(len(x)):
        kept = np.arange(len(x)) != left_out
        if not usable[kept].any():
            continue
        slope, offsets = _fit(x[kept], y[kept], usable[kept], scope)
        here = usable[left_out]
        residuals.append((y[left_out] - offsets - slope * np.where(here, x[left_out], 0.0))[here])
    gathered = np.concatenate(residuals) if residuals else np.empty(0)
    return _robust_spread(gathered) if gathered.size else None


def _robust_spread(residuals: NDArray[np.float64]) -> float:
    """Standard deviation about 0 from the median absolute value, as if the residuals were normal."""
    return float(NORMAL * np.median(np.abs(residuals)))
