"""The pages of the app, one file each.

What the rooms export is loaded before the first page, in the one import that all visitors wait for; else the first
visit of a page that computes would wait for PyTorch.
"""

from lazy_names import load

load("analysis", "checkpoints", "experiments", "landscape", "training")
