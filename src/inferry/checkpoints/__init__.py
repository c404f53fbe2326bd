"""File readers: from what users have to numpy tensors, running none of the file's code."""
