"""The first recipe: a generator and a critic that learn from each other."""
