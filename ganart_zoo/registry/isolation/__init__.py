"""Models in a process of their own, so that a crash, a hang or a leak of one plugin costs one call. Torch-free.

    zoo = Zoo(isolate={"ganart-mine": Isolation(timeout=60)})   # or GANART_ISOLATE=ganart-mine in the environment

`choice` says what is isolated, `process` keeps the process, `serve` runs in it, `messages` carries calls and tensors
between the two, and `models` has the models that a caller gets. Inference only: no gradient crosses.
"""

from ganart_zoo.registry.isolation.choice import Isolation, chosen_isolation
from ganart_zoo.registry.isolation.isolates import Isolates

__all__ = ["Isolates", "Isolation", "chosen_isolation"]
