"""The original networks in torch, against which parity is measured. Needs the `reference` extra."""
