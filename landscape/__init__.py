"""Geometry: parameter vectors and blocks, planes, projections, loss surfaces."""

from typing import TYPE_CHECKING

from lazy_names import lazy_names

if TYPE_CHECKING:
    from landscape.curvature import Eigenpairs, Trace, hessian_eigenpairs, hessian_plane, hessian_trace
    from landscape.directions import filter_normalize
    from landscape.divergence import Divergence, rank_divergence
    from landscape.evaluation import Losses, evaluate_points, evaluate_states
    from landscape.kernel import Strategy
    from landscape.parameters import Block, BlockSelection, ParameterLayout, model_blocks, uncounted_weights
    from landscape.planes import Plane, parameter_plane, pca_plane, random_plane, three_point_plane
    from landscape.refinement import coarse_surface
    from landscape.strategy import PlaneEvaluator
    from landscape.surface import (
        Surface,
        check_points,
        complete_surface,
        empty_surface,
        evaluate_surface,
        path_box,
        precision_error,
    )
else:
    __getattr__, __dir__ = lazy_names(__name__)

__all__ = [
    "Block",
    "BlockSelection",
    "Divergence",
    "Eigenpairs",
    "Losses",
    "ParameterLayout",
    "Plane",
    "PlaneEvaluator",
    "Strategy",
    "Surface",
    "Trace",
    "check_points",
    "coarse_surface",
    "complete_surface",
    "empty_surface",
    "evaluate_points",
    "evaluate_states",
    "evaluate_surface",
    "filter_normalize",
    "hessian_eigenpairs",
    "hessian_plane",
    "hessian_trace",
    "model_blocks",
    "parameter_plane",
    "path_box",
    "pca_plane",
    "precision_error",
    "random_plane",
    "rank_divergence",
    "three_point_plane",
    "uncounted_weights",
]
