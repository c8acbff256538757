"""Test vectors for programs in any language: layers with their operands and right results, as files."""
