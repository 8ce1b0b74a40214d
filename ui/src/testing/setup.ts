import { cleanup, configure } from "@testing-library/react";
import { afterAll, afterEach, beforeAll, vi } from "vitest";

import { session } from "../api/session";
import { resetWorld } from "./handlers";
import { server } from "./server";

// How long to wait for what never comes; a busy machine must not look like a bug.
configure({ asyncUtilTimeout: 15_000 });

// What Mantine asks of a browser and happy-dom does not have.
window.matchMedia ??= vi.fn().mockReturnValue({ matches: false, addEventListener() {}, removeEventListener() {} });
window.scrollTo = () => {};
if (!("fonts" in document)) Object.defineProperty(document, "fonts", { value: new EventTarget() });
Element.prototype.scrollTo ??= () => {};
// Virtual lists draw what has room; here nothing has a size. Only what scrolls gets one: menus hide when their window has none left.
for (const [name, size] of Object.entries({ clientHeight: 640, clientWidth: 1200 })) {
  Object.defineProperty(HTMLElement.prototype, name, {
    configurable: true,
    get(this: HTMLElement) {
      return this.getAttribute("role") === "region" ? size : 0;
    },
  });
}

beforeAll(() => server.listen({ onUnhandledRequest: "error" }));
afterEach(() => {
  cleanup();
  session.begin();
  sessionStorage.clear();
  localStorage.clear();
  resetWorld();
  server.resetHandlers();
});
afterAll(() => server.close());
