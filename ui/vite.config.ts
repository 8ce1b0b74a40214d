import react from "@vitejs/plugin-react";
import { defineConfig } from "vitest/config";

/** `npm run dev` serves the sources and passes everything else on to a running `updraft standalone`. */
const server = process.env.UPDRAFT_URL ?? "http://127.0.0.1:8080";

/** Packages of the shell … */
const SHELL_PACKAGES =
  /node_modules\/(react|react-dom|react-router|scheduler|@mantine|@floating-ui|@tanstack|clsx|openapi-fetch|react-remove-scroll)\//;
/** … but for the parts of them that only forms use. */
const FORMS =
  /@mantine\/core\/esm\/components\/(NumberInput|MultiSelect|TagsInput|PasswordInput|Textarea|JsonInput|SegmentedControl|Select|FileInput|FileButton|Radio|Table|Tabs|Code)\//;
const SHELL_SOURCES =
  /\/src\/((ui|api)\/|lib\/([^/]+$|strings\/)|parts\/(Can|Panel|RunBars|ScheduleWords)\.|features\/(frame|home|dags)\/|(app|paths|routes)\.)/;

const isShell = (id: string) =>
  id.startsWith("\0rolldown/") || (SHELL_PACKAGES.test(id) && !FORMS.test(id)) || SHELL_SOURCES.test(id);

export default defineConfig({
  plugins: [react()],
  build: {
    // webserver/src/ui_assets.rs caches this folder for ever: every file in it has its hash in its name.
    assetsDir: "static",
    target: "es2022",
    modulePreload: { polyfill: false },
    // Swagger UI, which only docs.html loads.
    chunkSizeWarningLimit: 1600,
    rollupOptions: {
      // The dashboard, and the API's reference.
      input: ["index.html", "docs.html"],
      // What every page needs is one script, so that a first page takes few requests; each other page is its own.
      output: { codeSplitting: { groups: [{ name: "shell", test: isShell }] } },
    },
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
