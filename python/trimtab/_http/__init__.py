"""What ``trimtab.httpx`` and ``trimtab.httpx2`` share: the transports without their libraries.

The two libraries have the same classes under different names, so everything here is written against
the few attributes that it uses, and the two faces mix in their library's base classes.
"""
