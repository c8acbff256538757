"""Judges what users computed, in a file or by their program, by the theorems that `convback verify` rests on."""
