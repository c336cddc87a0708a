"""What the verbs share: a model loaded for a task, its guarded calls, the events and records of the work, its files."""
