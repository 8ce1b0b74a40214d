declare module "swagger-ui-dist/swagger-ui-es-bundle.js" {
  /** The options that `reference.ts` gives; Swagger UI has more. */
  export default function SwaggerUI(options: {
    url: string;
    dom_id: string;
    deepLinking: boolean;
    docExpansion: "list" | "full" | "none";
    defaultModelsExpandDepth: number;
    filter: boolean;
    persistAuthorization: boolean;
    validatorUrl: null;
  }): unknown;
}
