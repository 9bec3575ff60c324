"""Numbers about runs: SAL, the learnable threshold, the Unlearnable Distance, and how far these can be trusted."""

from typing import TYPE_CHECKING

from lazy_names import lazy_names

if TYPE_CHECKING:
    from analysis.bimodality import Bimodality, ashman_d, bimodality_verdict, judge_bimodality, split_silhouette
    from analysis.calibration import Calibration, calibrate
    from analysis.cross_task import TaskScores, cross_task_ratio, net_damage, task_damage
    from analysis.dip import dip_p_value, dip_statistic
    from analysis.distance import UnlearnableDistance, unlearnable_distance
    from analysis.resampling import Estimate, bootstrap_difference, bootstrap_mean, bootstrap_rank_correlation
    from analysis.resolution import EstimatorRow, Floor, Power, compare_estimators, floor, power
    from analysis.sal import BlockSal, SharpnessMeter, sharpness_aware_learnability
    from analysis.seeds import SeedSummary, rank_correlation, summarise_seeds, verdict
    from analysis.sensitivity import Sensitivity, SettingUd, ranking_verdict, rule_sensitivity, ud_sensitivity
    from analysis.similarity import TaskUd, mean_similarity, task_similarity, task_ud
    from analysis.steady import ESTIMATORS, SteadyUd, estimate_ud, ud_authors, ud_geometric, ud_log, ud_rank
    from analysis.threshold import RULES, learnable_threshold, pooled_threshold, threshold_midpoints
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "ESTIMATORS",
    "RULES",
    "Bimodality",
    "BlockSal",
    "Calibration",
    "Estimate",
    "EstimatorRow",
    "Floor",
    "Power",
    "SeedSummary",
    "Sensitivity",
    "SettingUd",
    "SharpnessMeter",
    "SteadyUd",
    "TaskScores",
    "TaskUd",
    "UnlearnableDistance",
    "ashman_d",
    "bimodality_verdict",
    "bootstrap_difference",
    "bootstrap_mean",
    "bootstrap_rank_correlation",
    "calibrate",
    "compare_estimators",
    "cross_task_ratio",
    "dip_p_value",
    "dip_statistic",
    "estimate_ud",
    "floor",
    "judge_bimodality",
    "learnable_threshold",
    "mean_similarity",
    "net_damage",
    "pooled_threshold",
    "power",
    "rank_correlation",
    "ranking_verdict",
    "rule_sensitivity",
    "sharpness_aware_learnability",
    "split_silhouette",
    "summarise_seeds",
    "task_damage",
    "task_similarity",
    "task_ud",
    "threshold_midpoints",
    "ud_authors",
    "ud_geometric",
    "ud_log",
    "ud_rank",
    "ud_sensitivity",
    "unlearnable_distance",
    "verdict",
]
