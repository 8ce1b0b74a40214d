import { defineConfig } from "vitest/config";

/** Tests in a real browser, over the built files: `npm run test:browser`. */
export default defineConfig({
  test: { environment: "node", include: ["e2e/**/*.test.ts"], testTimeout: 120_000, hookTimeout: 60_000 },
});
