"""HTTP: routes, request and response bodies, problem details, and the layers around them."""
