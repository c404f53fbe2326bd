"""Rendering: what was gathered about runs becomes one self-contained HTML page. Measures nothing."""
