"""One file a verb; parses, calls the pipeline, prints."""
