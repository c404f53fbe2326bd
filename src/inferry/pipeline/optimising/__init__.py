"""Parts of `inferry.pipeline.optimize`."""
