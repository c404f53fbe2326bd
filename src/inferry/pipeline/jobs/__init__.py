"""Data sets as files for a runtime elsewhere, and its outputs back as runs."""
