"""The parts of `inferry bench`."""
