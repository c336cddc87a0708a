"""Pictures to learn from: folders, arrays and shards, in an order that depends on the seed alone."""

from ganart_zoo.training.data.arrays import ArrayData
from ganart_zoo.training.data.pictures import Batch, Crop, Data, Share

__all__ = ["ArrayData", "Batch", "Crop", "Data", "Share"]
