import { screen } from "@testing-library/react";
import { http, HttpResponse } from "msw";
import { expect, it } from "vitest";

import { dag } from "../../testing/fixtures";
import { expectAccessible, open } from "../../testing/render";
import { world } from "../../testing/handlers";
import { server } from "../../testing/server";

it("keeps what it shows and says since when, while the server is away", async () => {
  world.dags = [dag("example")];
  const { queries } = open("/");
  await screen.findByRole("link", { name: "example" });
  server.use(http.get("*/api/v2/dags", () => HttpResponse.error()));
  void queries.refetchQueries({ queryKey: ["dags"] });
  expect(await screen.findByText(/Cannot reach the server/)).toBeTruthy();
  expect(screen.getByRole("link", { name: "example" })).toBeTruthy();
});

it("shows the server's words and a way on when a page cannot be had", async () => {
  server.use(http.get("*/api/v2/dags", () => HttpResponse.json({ detail: "lookup id 7f" }, { status: 500 })));
  const { user } = open("/");
  expect(await screen.findByText("lookup id 7f")).toBeTruthy();
  server.resetHandlers();
  await user.click(screen.getByRole("button", { name: "Try again" }));
  expect(await screen.findByText(/No DAGs yet/)).toBeTruthy();
});

it("has a page for addresses that do not exist", async () => {
  const { container } = open("/nothing/here");
  expect(await screen.findByRole("heading", { name: "There is no page here" })).toBeTruthy();
  await expectAccessible(container);
});
