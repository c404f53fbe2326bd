"""Runtimes that open bundles."""
