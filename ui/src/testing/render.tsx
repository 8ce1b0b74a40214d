import { QueryClient } from "@tanstack/react-query";
import { render } from "@testing-library/react";
import userEvent from "@testing-library/user-event";
import axe from "axe-core";
import { createMemoryRouter, RouterProvider } from "react-router";
import { expect } from "vitest";

import { newQueryClient } from "../api/queries";
import { App } from "../app";
import { routes } from "../routes";

/** The whole dashboard at an address, with a user in front of it. Queries are not retried: a test says what fails. */
export function open(address: string) {
  const defaults = newQueryClient().getDefaultOptions();
  const queries = new QueryClient({ defaultOptions: { ...defaults, queries: { ...defaults.queries, retry: false } } });
  const router = createMemoryRouter(routes(queries), { initialEntries: [address] });
  const user = userEvent.setup();
  const view = render(
    <App queries={queries}>
      <RouterProvider router={router} />
    </App>,
  );
  const here = () => router.state.location.pathname + router.state.location.search;
  return { ...view, user, router, queries, here };
}

/** No violation of any impact. Colours need a browser: `npm run test:browser` checks them. */
export async function expectAccessible(container: Element) {
  const { violations } = await axe.run(container, { rules: { "color-contrast": { enabled: false } } });
  expect(violations.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join(" | ")}`)).toEqual([]);
}
