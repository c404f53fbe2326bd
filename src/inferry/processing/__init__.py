"""From sound to the graph's inputs, and from its outputs to text."""
