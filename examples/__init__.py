"""Trainings as anybody writes them, recorded with at most three added lines (marked): ``python -m examples.plain``."""
