"""Where the cross-task step keeps its results, and what they are called; see ``experiments.cross_task_step``."""

BASE_KIND, SCORES_KIND = "cross-task-base", "cross-task-scores"
BASE, SCORES, BATCHNORM = "cross-task/base", "cross-task/scores", "cross-task/batchnorm"
SCENE_TASK = "scene"
BACKBONE = "backbone."  # what the names of shared blocks begin with
