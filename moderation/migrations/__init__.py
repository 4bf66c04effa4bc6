"""Versions of the database's schema, applied at start; `versions/` has one file each."""
