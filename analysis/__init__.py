"""Numbers about runs: SAL, the learnable threshold, the Unlearnable Distance, and their spread."""

from analysis.distance import UnlearnableDistance, unlearnable_distance
from analysis.sal import BlockSal, SharpnessMeter, sharpness_aware_learnability
from analysis.seeds import SeedSummary, rank_correlation, summarise_seeds, verdict
from analysis.threshold import learnable_threshold, threshold_midpoints

__all__ = [
    "BlockSal",
    "SeedSummary",
    "SharpnessMeter",
    "UnlearnableDistance",
    "learnable_threshold",
    "rank_correlation",
    "sharpness_aware_learnability",
    "summarise_seeds",
    "threshold_midpoints",
    "unlearnable_distance",
    "verdict",
]
