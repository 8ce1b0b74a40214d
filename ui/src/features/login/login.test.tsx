import { screen, waitFor } from "@testing-library/react";
import { describe, expect, it } from "vitest";

import { session } from "../../api/session";
import { dag } from "../../testing/fixtures";
import { expectAccessible, open } from "../../testing/render";
import { sent, world } from "../../testing/handlers";

describe("signing in", () => {
  it("is asked for when the server does not know us, and leads back", async () => {
    world.isLoggedIn = false;
    world.dags = [dag("example")];
    const { user, here, container } = open("/dags/example?state=failed");
    await screen.findByRole("heading", { name: "Sign in" });
    expect(here()).toBe("/login?next=%2Fdags%2Fexample%3Fstate%3Dfailed");
    await expectAccessible(container);

    await user.type(screen.getByRole("textbox", { name: "User name" }), "admin");
    await user.type(screen.getByLabelText("Password"), "wrong{Enter}");
    expect((await screen.findByRole("alert")).textContent).toBe("User name or password is wrong.");

    await user.clear(screen.getByLabelText("Password"));
    await user.type(screen.getByLabelText("Password"), "right{Enter}");
    expect(await screen.findByRole("heading", { name: "example" })).toBeTruthy();
    expect(here()).toBe("/dags/example?state=failed");
    expect(session.hasEnded()).toBe(false);
  });

  it("by a provider leads to it, and back to where one was", async () => {
    world.isLoggedIn = false;
    world.hasProvider = true;
    open("/dags/example");
    const link = await screen.findByRole("link", { name: "Sign in with your organization" });
    expect(link.getAttribute("href")).toBe("/auth/oidc/login?next=%2Fdags%2Fexample");
  });

  it("is not needed with a cookie that the server accepts", async () => {
    open("/");
    expect(await screen.findByRole("heading", { level: 1 })).toBeTruthy();
    expect(screen.queryByRole("heading", { name: "Sign in" })).toBeNull();
    expect(session.hasEnded()).toBe(false);
  });

  it("ends with signing out", async () => {
    const { user } = open("/");
    await user.click(await screen.findByRole("button", { name: /admin/ }));
    await user.click(await screen.findByRole("menuitem", { name: "Sign out", hidden: true }));
    await waitFor(() => expect(screen.getByRole("heading", { name: "Sign in" })).toBeTruthy());
    expect(session.hasEnded()).toBe(true);
    expect(sent).toEqual([{ method: "GET", path: "/api/v2/auth/logout", body: null }]);
  });
});
