"""One file a task: what the report shows of its samples and scores."""
