"""The ports: what converto needs from a database, an object store and a broker.

Each port has two implementations that pass one contract suite. Every method has its own deadline and may raise the
`DependencyUnavailable` error of its port (StoreUnavailable, ObjectStoreUnavailable, BusUnavailable), so no caller waits
forever. Reads see the newest acknowledged write.
"""
