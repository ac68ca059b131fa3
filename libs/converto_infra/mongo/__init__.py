"""The stores on MongoDB and servers that speak its protocol; the only package that imports a MongoDB driver."""
