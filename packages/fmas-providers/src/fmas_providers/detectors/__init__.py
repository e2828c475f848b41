"""Detectors that learn from `fmas run`; torch is imported by the modules that compute, not here."""
