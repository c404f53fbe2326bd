"""What Ascend NPUs ask for: atc command lines, ais_bench folders."""
