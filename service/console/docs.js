// Starts Swagger UI, whose files a Python package carries. The policy allows no inline script.
SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  showExtensions: true,
  showCommonExtensions: true,
  // By default it has a service on the internet check the document.
  validatorUrl: null,
  presets: [SwaggerUIBundle.presets.apis],
});
