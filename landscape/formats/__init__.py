"""Surfaces, planes and paths in the formats of other programs: one file each, arrays in and bytes out, or back."""
