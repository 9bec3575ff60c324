"""How far a ranking of methods by UD survives other settings of the measurement."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from analysis.distance import unlearnable_distance
from analysis.seeds import SeedSummary, rank_correlation, summarise_seeds
from analysis.threshold import RULES, check_runs, learnable_threshold

Runs = Mapping[str, Sequence[ArrayLike]]  # {arm: [T, L] of each seed}
STEADY, SHAKY = 0.8, 0.5  # Kendall's τ: nine pairs in ten keep their order; three in four do


@dataclass(frozen=True)
class SettingUd:
    """UD of every method under one setting.

    Attributes:
        setting: Its name; summaries: {method: UD over seeds}.
        kendall, spearman: Rank correlations of the methods' mean UD with the default setting; NaN where one of the two
            gives all methods the same UD, or with one method.
        swapped: Pairs of methods in the opposite order than by default.
        undecided: How many of the swapped pairs have overlapping t intervals under both settings, or one seed only.
    """

    setting: str
    summaries: Mapping[str, SeedSummary]
    kendall: float
    spearman: float
    swapped: tuple[tuple[str, str], ...]
    undecided: int


@dataclass(frozen=True)
class Sensitivity:
    """A ranking under several settings.

    Attributes:
        default: Name of the setting the others are compared with; methods: in their order by default, lowest UD first.
        settings: In the order given, the default among them; failed: {setting: why it has no UD}.
    """

    default: str
    methods: tuple[str, ...]
    settings: tuple[SettingUd, ...]
    failed: Mapping[str, str]

    @property
    def verdict(self) -> str:
        """How far the ranking can be trusted, in plain words."""
        return ranking_verdict(self)


def ud_sensitivity(
    tables: Mapping[str, Runs], *, default: str, clean: str = "clean", rule: str = "kmeans"
) -> Sensitivity:
    """UD and the methods' order under every setting, such as ``"ε = 0.01"``, against the default one.

    Args:
        tables: {setting: {arm: SAL tables [T, L], one per seed}}; the same arms and seeds in the same order everywhere.
        default: The setting the others are compared with. clean: Name of the clean arm. rule: Of the threshold.

    Raises:
        ValueError: An unknown default, arms that differ between settings, unequal seeds, or a default without UD.
            Other settings without a UD are listed in ``failed``.
    """
    if default not in tables:
        raise ValueError(f"The default setting {default!r} is not among {', '.join(map(repr, tables))}.")
    arms = set(tables[default])
    for setting, runs in tables.items():
        if set(runs) != arms:
            raise ValueError(f"Setting {setting!r} has other arms than {default!r}; measure the same runs under both.")
    _check_clean(tables[default], clean)
    return _compare({name: (runs, rule) for name, runs in tables.items()}, default, clean)


def rule_sensitivity(
    runs: Runs, *, rules: Sequence[str] = RULES, default: str = "kmeans", clean: str = "clean"
) -> Sensitivity:
    """The same for the threshold's rule: one set of tables, counted by each rule.

    Args:
        runs: {arm: SAL tables [T, L], one per seed}. rules: Of :func:`analysis.learnable_threshold`, with the default.
    """
    if default not in rules:
        raise ValueError(f"The default rule {default!r} is not among {', '.join(map(repr, rules))}.")
    _check_clean(runs, clean)
    return _compare({rule: (runs, rule) for rule in rules}, default, clean)


def ranking_verdict(found: Sensitivity) -> str:
    """Words for the least agreement with the default ranking over all settings."""
    others = [one for one in found.settings if one.setting != found.default]
    if len(found.methods) < 3:
        return f"{len(found.methods)} methods make no ranking to judge; add methods"
    if not others:
        return "one setting only, so nothing is known about others"
    failed = f"; {len(found.failed)} settings gave no UD" if found.failed else ""
    known = [one for one in others if np.isfinite(one.kendall)]
    tied = f"; {len(others) - len(known)} settings give all methods one UD" if len(known) < len(others) else ""
    if not known:
        return "no ranking: the methods have one and the same UD" + failed
    worst = min(known, key=lambda one: one.kendall)
    swaps = sum(len(one.swapped) for one in known)
    near = sum(one.undecided for one in known)
    figures = f"(lowest Kendall τ {worst.kendall:.2f}, at {worst.setting})"
    if worst.kendall >= STEADY:
        words = f"the ranking holds under every setting {figures}"
    elif swaps == near:
        words = f"only methods that the seeds do not tell apart change places {figures}"
    elif worst.kendall >= SHAKY:
        words = f"the ranking holds in broad strokes, neighbours change places {figures}"
    else:
        words = f"the ranking depends on the setting; do not report it from one alone {figures}"
    return words + tied + failed


def _compare(tables: Mapping[str, tuple[Runs, str]], default: str, clean: str) -> Sensitivity:
    found: dict[str, dict[str, SeedSummary]] = {}
    failed: dict[str, str] = {}
    for setting in (default, *(name for name in tables if name != default)):
        runs, rule = tables[setting]
        try:
            found[setting] = _summaries(runs, clean, rule)
        except ValueError as error:
            if setting == default:
                raise
            failed[setting] = str(error)
    base = found[default]
    methods = tuple(sorted(base, key=lambda name: base[name].mean))
    settings = tuple(_against(name, found[name], base) for name in tables if name in found)
    return Sensitivity(default, methods, settings, failed)


def _summaries(runs: Runs, clean: str, rule: str) -> dict[str, SeedSummary]:
    cleans = check_runs(runs[clean], "clean")
    thresholds = [learnable_threshold(table, rule=rule) for table in cleans]  # once, and not for every method
    result = {}
    for name, tables in runs.items():
        if name == clean:
            continue
        if len(tables) != len(cleans):
            raise ValueError(
                f"{name} has {len(tables)} seeds, the clean arm {len(cleans)}; give the same seeds of both."
            )
        pairs = zip(cleans, check_runs(tables, name), thresholds, strict=True)
        result[name] = summarise_seeds([unlearnable_distance(c, p, threshold=beta).value for c, p, beta in pairs])
    return result


def _against(setting: str, here: Mapping[str, SeedSummary], base: Mapping[str, SeedSummary]) -> SettingUd:
    names = list(base)
    a, b = [base[name].mean for name in names], [here[name].mean for name in names]
    swapped = tuple(
        (one, two)
        for one, two in itertools.combinations(names, 2)
        if (base[one].mean - base[two].mean) * (here[one].mean - here[two].mean) < 0
    )
    undecided = sum(not (_apart(base[x], base[y]) or _apart(here[x], here[y])) for x, y in swapped)
    spearman = rank_correlation(a, b) if len(names) > 1 else float("nan")
    return SettingUd(setting, here, _kendall(a, b), spearman, swapped, undecided)


def _apart(a: SeedSummary, b: SeedSummary) -> bool:
    if a.low is None or a.high is None or b.low is None or b.high is None:
        return False
    return a.high < b.low or b.high < a.low


def _kendall(a: Sequence[float], b: Sequence[float]) -> float:
    if len(set(a)) < 2 or len(set(b)) < 2:
        return float("nan")
    from scipy import stats  # takes half a second to import

    return float(stats.kendalltau(a, b).statistic)


def _check_clean(runs: Runs, clean: str) -> None:
    if clean not in runs or len(runs) < 2:
        raise ValueError(f"A ranking needs the clean arm {clean!r} and at least one method, not {sorted(runs)}.")
