/**
 * Roles: an action that the role does not allow is shown, disabled, with the missing permission's name.
 * `useCan("Write:DagRun")` is null when it is allowed (or not yet known), else the sentence why not. `<CanButton needs=…>` and
 * `<CanIcon needs=…>` are a button and an icon button with that built in; `reason` is another one of the caller ("already paused").
 */
import { useQuery } from "@tanstack/react-query";

import { meQuery, type Permission } from "../api/queries/me";
import { strings } from "../lib/strings";
import { IconButton, ReasonButton, type IconButtonProps, type ReasonButtonProps } from "../ui/Reason";

export function useCan(permission: Permission): string | null {
  const { data } = useQuery(meQuery());
  if (data === undefined || data.permissions.includes(permission)) return null;
  return strings.app.missing(permission);
}

interface Needs {
  needs: Permission;
}

export function CanButton({ needs, reason, ...rest }: Needs & ReasonButtonProps) {
  return <ReasonButton {...rest} reason={useCan(needs) ?? reason} />;
}

export function CanIcon({ needs, reason, ...rest }: Needs & IconButtonProps) {
  return <IconButton {...rest} reason={useCan(needs) ?? reason} />;
}
