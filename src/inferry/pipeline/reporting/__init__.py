"""The parts of `inferry report`: what it gathers."""
