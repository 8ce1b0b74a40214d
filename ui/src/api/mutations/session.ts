import { useMutation } from "@tanstack/react-query";

import { client, ok } from "../client";
import { session } from "../session";

export const useLogin = () =>
  useMutation({
    mutationFn: (body: { username: string; password: string }) => ok(client.POST("/ui/login", { body })),
    onSuccess: () => session.begin(),
  });

/** Ends the login: the server revokes it and takes back the cookie. */
export const useLogout = () =>
  useMutation({
    // It answers with a redirect to the login page, which is where we go anyway.
    mutationFn: () => fetch(`${window.location.origin}/api/v2/auth/logout`, { redirect: "manual" }),
    // Also when the server is away: this tab is signed out, and that the cookie is still there shows at the next request.
    onSettled: () => session.end(),
  });
