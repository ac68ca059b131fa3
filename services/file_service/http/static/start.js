window.addEventListener("load", function () {
  SwaggerUIBundle({
    url: "openapi.json",
    dom_id: "#page",
    deepLinking: true,
    persistAuthorization: false,
    validatorUrl: null
  });
});
