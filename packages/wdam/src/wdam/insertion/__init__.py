"""Put WDAM into a model that exists already, see where it is, and take it out again."""

from wdam.insertion.operations import Insertion, WDAMOptions, insert, insertions, remove

__all__ = ["Insertion", "WDAMOptions", "insert", "insertions", "remove"]
