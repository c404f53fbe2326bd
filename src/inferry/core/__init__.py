"""Tensors and specs, bundle and run formats, protocols, registry, errors. numpy and the standard library only."""
