"""Names that a specification may give where it trains; kept apart, so that who reads one needs no PyTorch."""

TASKS = ("scene", "keypoints2d", "depth_euclidean", "segment_unsup2d")  # in the order of heads and packed targets
WEIGHTS = ("fixed", "learned")  # of the tasks' losses
NORMS = ("batch", "group")  # of a network of several tasks
