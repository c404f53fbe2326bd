"""Parts of `inferry.pipeline.doctor`."""
