"""The ports: what converto needs of a database, an object store and a broker. Two implementations of each must agree.

Every method may raise the port's own `DependencyUnavailable` error (StoreUnavailable, ObjectStoreUnavailable,
BusUnavailable) and has its own deadline: no caller ever waits forever. Reads see the newest acknowledged write.
"""
