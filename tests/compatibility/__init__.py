"""What authors rely on stays: the public names of API 0.1, their signatures, and a plugin that was written for it."""
