import { defineConfig } from "vitest/config";

/** Tests in a real browser: `npm run test:browser`. `TASK` is another file to run: the pictures, the budgets. */
export default defineConfig({
  test: {
    environment: "node",
    include: [process.env.TASK ?? "e2e/**/*.test.ts"],
    testTimeout: 180_000,
    hookTimeout: 180_000,
    fileParallelism: false,
    disableConsoleIntercept: true,
  },
});
