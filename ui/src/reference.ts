/** The API's reference at /docs: Swagger UI over the document that this very server describes itself with. */
import SwaggerUI from "swagger-ui-dist/swagger-ui-es-bundle.js";
import "swagger-ui-dist/swagger-ui.css";

SwaggerUI({
  url: "/openapi.json",
  dom_id: "#reference",
  // Operations have addresses of their own, and the list of 130 begins folded.
  deepLinking: true,
  docExpansion: "none",
  defaultModelsExpandDepth: 0,
  filter: true,
  // A token that was given stays until the browser's storage is cleared.
  persistAuthorization: true,
  // No badge, and no validator on somebody else's server.
  validatorUrl: null,
});
