"""The parts of `inferry compare`."""
