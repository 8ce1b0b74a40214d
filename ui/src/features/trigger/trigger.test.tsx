import { screen, waitFor } from "@testing-library/react";
import { expect, it } from "vitest";

import { dag, dagDetails, run } from "../../testing/fixtures";
import { sent, world } from "../../testing/handlers";
import { expectAccessible, open } from "../../testing/render";

const params = {
  limit: {
    value: 100,
    description: null,
    schema: { type: "integer", title: "Rows at most", minimum: 1, maximum: 500 },
  },
  region: { value: "EMEA", description: null, schema: { type: "string", enum: ["EMEA", "APAC"], title: "Region" } },
  dry: { value: false, description: null, schema: { type: "boolean", title: "Dry run" } },
};

function load(over: Parameters<typeof dagDetails>[1] = {}) {
  world.dags = [dag("export")];
  world.details = [dagDetails("export", { params, ...over })];
  world.runs = [run("export", "manual__old", { conf: { limit: 7, ticket: "OPS-1" } })];
}

const posted = () => sent.filter(({ method, path }) => method === "POST" && path.endsWith("/dagRuns"));

it("sends what the form says, as values and not as text", async () => {
  load();
  const { user, here } = open("/dags/export/trigger");
  const limit = await screen.findByRole("textbox", { name: /Rows at most/ });
  await user.clear(limit);
  await user.type(limit, "250");
  await user.click(screen.getByRole("checkbox", { name: "Dry run" }));
  await user.click(screen.getByRole("button", { name: "Trigger" }));
  await waitFor(() => expect(posted()).toHaveLength(1));
  expect(posted()[0]?.body).toEqual({ logical_date: null, conf: { limit: 250, region: "EMEA", dry: true } });
  await waitFor(() => expect(here()).toBe("/dags/export/runs/manual__new"));
});

it("says what is wrong in the field's own words while it is typed, and sends nothing", async () => {
  load();
  const { user } = open("/dags/export/trigger");
  const limit = await screen.findByRole("textbox", { name: /Rows at most/ });
  await user.clear(limit);
  await user.type(limit, "501");
  expect(screen.getByText("Rows at most must be at most 500.")).toBeTruthy();
  expect(screen.getByRole("button", { name: "Trigger" }).getAttribute("aria-disabled")).toBe("true");
  await user.type(limit, "{Enter}");
  expect(posted()).toEqual([]);
  await user.clear(limit);
  expect(screen.getByText("Rows at most is needed.")).toBeTruthy();
});

it("Enter in a field triggers", async () => {
  load();
  const { user } = open("/dags/export/trigger");
  await user.type(await screen.findByRole("textbox", { name: /Rows at most/ }), "{Enter}");
  await waitFor(() => expect(posted()).toHaveLength(1));
});

it("is filled in and sent without a mouse, and says what is wrong as it is typed", async () => {
  load();
  const { user } = open("/dags/export/trigger");
  const dialog = await screen.findByRole("dialog");
  const limit = await screen.findByRole("textbox", { name: /Rows at most/ });
  const tabTo = async (element: HTMLElement) => {
    for (let n = 0; n < 20 && document.activeElement !== element; n++) await user.tab();
    expect(document.activeElement).toBe(element);
    expect(dialog.contains(element)).toBe(true);
  };
  await tabTo(limit);
  await user.keyboard("{Control>}a{/Control}9x");
  expect(limit.getAttribute("aria-invalid")).toBe("true");
  await user.keyboard("{Backspace}");
  expect(limit.getAttribute("aria-invalid")).not.toBe("true");
  const dry = screen.getByRole<HTMLInputElement>("checkbox", { name: "Dry run" });
  await tabTo(dry);
  await user.keyboard(" ");
  expect(dry.checked).toBe(true);
  await user.keyboard("{Control>}{Enter}{/Control}");
  await waitFor(() => expect(posted()[0]?.body).toMatchObject({ conf: { dry: true } }));
});

it("fills in the conf of a run, keeps what is no param, and is the same as JSON", async () => {
  load();
  const { user } = open("/dags/export/trigger?like=manual__old");
  expect((await screen.findByRole<HTMLInputElement>("textbox", { name: /Rows at most/ })).value).toBe("7");
  expect(screen.getByText("Also sent, though no param: ticket")).toBeTruthy();
  await user.click(screen.getByRole("radio", { name: "JSON" }));
  const json = await screen.findByRole<HTMLTextAreaElement>("textbox", { name: "Conf" });
  expect(JSON.parse(json.value)).toEqual({ limit: 7, region: "EMEA", dry: false, ticket: "OPS-1" });
  await user.clear(json);
  await user.type(json, '{{"limit": 9000}');
  expect(screen.getByText("Rows at most must be at most 500.")).toBeTruthy();
  await user.clear(json);
  await user.type(json, '{{"limit": 9}');
  await user.click(screen.getByRole("button", { name: "Trigger" }));
  await waitFor(() => expect(posted()[0]?.body).toMatchObject({ conf: { limit: 9, region: "EMEA", dry: false } }));
});

it("a paused DAG is made active too, unless one does not want it", async () => {
  load({ is_paused: true });
  const { user } = open("/dags/export/trigger");
  await user.click(await screen.findByRole("checkbox", { name: /Make the DAG active too/ }));
  expect(screen.getByText("The DAG is paused: the run waits until it is made active.")).toBeTruthy();
  await user.click(screen.getByRole("button", { name: "Trigger" }));
  await waitFor(() => expect(posted()).toHaveLength(1));
  expect(sent.filter(({ method }) => method === "PATCH")).toEqual([]);
});

it("the form can be used by everybody", async () => {
  load();
  open("/dags/export/trigger");
  await screen.findByRole("textbox", { name: /Rows at most/ });
  await expectAccessible(screen.getByRole("dialog"));
});
