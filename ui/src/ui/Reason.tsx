/**
 * Buttons that say why they cannot be pressed. `reason` null: they can. With a reason they stay reachable by keyboard and screen
 * reader (aria-disabled, not disabled), do nothing, and say it on hover, focus and touch.
 */
import { ActionIcon, Button, Tooltip, type ActionIconProps, type ButtonProps } from "@mantine/core";
import type { MouseEvent, ReactNode } from "react";

import { Icon, type IconName } from "./icons";

interface Reasoned {
  reason?: string | null | undefined;
  onClick?: ((event: MouseEvent<HTMLButtonElement>) => void) | undefined;
}

const EVENTS = { hover: true, focus: true, touch: true };

const guarded =
  (reason: Reasoned["reason"], onClick: Reasoned["onClick"]) => (event: MouseEvent<HTMLButtonElement>) => {
    if (reason != null) event.preventDefault();
    else onClick?.(event);
  };

export type ReasonButtonProps = Omit<ButtonProps, "disabled" | "onClick"> &
  Reasoned & { children: ReactNode; type?: "button" | "submit"; "aria-label"?: string | undefined; form?: string };

export function ReasonButton({ reason, onClick, children, type = "button", ...rest }: ReasonButtonProps) {
  const disabled = reason != null;
  return (
    <Tooltip label={reason} disabled={!disabled} multiline maw={320} events={EVENTS}>
      <Button
        type={type}
        {...rest}
        {...(disabled ? { "data-disabled": true, "aria-disabled": true } : {})}
        onClick={guarded(reason, onClick)}
      >
        {children}
      </Button>
    </Tooltip>
  );
}

export type IconButtonProps = Omit<ActionIconProps, "disabled" | "onClick" | "aria-label"> &
  Reasoned & { icon: IconName; label: string; filled?: boolean; pressed?: boolean };

/** A button that is only an icon; its label is its name, and a tooltip. */
export function IconButton({ icon, label, reason, onClick, filled = false, pressed, ...rest }: IconButtonProps) {
  const disabled = reason != null;
  return (
    <Tooltip label={reason ?? label} multiline maw={320} events={EVENTS} openDelay={disabled ? 0 : 400}>
      <ActionIcon
        variant="subtle"
        color="gray"
        c="inherit"
        aria-label={label}
        {...(pressed === undefined ? {} : { "aria-pressed": pressed })}
        {...rest}
        {...(disabled ? { "data-disabled": true, "aria-disabled": true } : {})}
        onClick={guarded(reason, onClick)}
      >
        <Icon name={icon} filled={filled} />
      </ActionIcon>
    </Tooltip>
  );
}
