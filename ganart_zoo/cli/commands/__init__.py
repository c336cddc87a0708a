"""The commands of `ganart`, one module each: it parses, calls a task, and shows the result."""
