"""The ports: what converto needs from a database, an object store, a broker and an issuer of access tokens.

Each port has two implementations that pass one contract suite, except `Issuer`, which speaks HTTP only. Every
method has its own deadline and may raise the `DependencyUnavailable` error of its port (StoreUnavailable,
ObjectStoreUnavailable, BusUnavailable, IssuerUnavailable), so no caller waits forever. Reads see the newest
acknowledged write.
"""
