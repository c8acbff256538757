"""Claims a name that convback itself has."""
