"""The command `convback`: verification, benchmarks and an inventory of backends."""
