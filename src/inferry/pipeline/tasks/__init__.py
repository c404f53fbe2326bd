"""One file a task: how its answers are scored and compared."""
