"""Reads and writes the array files of users, .npz, .json and .bin, and trusts none of them."""

from convback_tools.arrayfiles.files import SUFFIXES, read, write
from convback_tools.arrayfiles.limits import MAX_MEMORY

__all__ = ["MAX_MEMORY", "SUFFIXES", "read", "write"]
