import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

/** `npm run dev` serves the sources and passes everything else on to a running `updraft standalone`. */
const server = process.env.UPDRAFT_URL ?? "http://127.0.0.1:8080";

export default defineConfig({
  plugins: [react()],
  build: {
    // webserver/src/ui_assets.rs caches this folder for ever: every file in it has its hash in its name.
    assetsDir: "static",
    target: "es2022",
    // Swagger UI, which only docs.html loads.
    chunkSizeWarningLimit: 1600,
    // The dashboard, and the API's reference.
    rollupOptions: { input: ["index.html", "docs.html"] },
  },
  server: {
    host: "127.0.0.1",
    proxy: { "/api": server, "/auth": server, "/ui/": server, "/openapi.json": server },
  },
  test: {
    environment: "happy-dom",
    environmentOptions: { happyDOM: { url: "http://updraft.test/", width: 1440, height: 900 } },
    include: ["src/**/*.test.{ts,tsx}"],
    setupFiles: ["src/testing/setup.ts"],
    css: false,
    testTimeout: 60_000,
    maxWorkers: 2,
  },
});
