"""HTTP: routes, request and response bodies, problem details, and middleware."""
