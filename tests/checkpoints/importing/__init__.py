"""Tests of checkpoints that others saved becoming runs."""
