"""Holds every backend against the formulas: exactly on integers, and within the derived rounding bound on real data."""
