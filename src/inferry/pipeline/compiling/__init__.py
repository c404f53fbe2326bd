"""What `inferry.pipeline.compile` is made of."""
