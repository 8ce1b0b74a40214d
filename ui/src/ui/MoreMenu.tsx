/** The ⋯ menu of a thing. `label` names it for screen readers ("More for payments_sync"). An item with a reason is shown, disabled. */
import { Menu, Text } from "@mantine/core";
import { Fragment, useState, type ReactNode } from "react";
import { Link } from "react-router";

import { Icon, type IconName } from "./icons";
import classes from "./more.module.css";

export interface MoreItem {
  label: string;
  icon?: IconName;
  /** An address … */
  to?: string;
  /** … or what it does. */
  onClick?: () => void;
  /** Why it cannot be chosen now. */
  reason?: string | null;
  danger?: boolean;
  /** A line above it. */
  divided?: boolean;
}

interface Props {
  label: string;
  items: MoreItem[];
  children?: ReactNode;
}

/** In a long list most menus are never opened: until then there is only the button. */
export function MoreMenu({ items, ...props }: Omit<Props, "items"> & { items: MoreItem[] | (() => MoreItem[]) }) {
  const [wanted, setWanted] = useState(false);
  if (wanted || props.children !== undefined) {
    return <OpenMenu {...props} items={typeof items === "function" ? items() : items} />;
  }
  return (
    <button
      type="button"
      className={classes.more}
      aria-label={props.label}
      aria-haspopup="menu"
      title={props.label}
      onClick={() => setWanted(true)}
    >
      <Icon name="more" />
    </button>
  );
}

function OpenMenu({ label, items, children }: Props) {
  return (
    <Menu defaultOpened={children === undefined} position="bottom-end" transitionProps={{ duration: 0 }} withinPortal>
      <Menu.Target>
        {children ?? (
          <button type="button" className={classes.more} aria-label={label} title={label}>
            <Icon name="more" />
          </button>
        )}
      </Menu.Target>
      <Menu.Dropdown>
        {items.map((item) => (
          <Fragment key={item.label}>
            {item.divided && <Menu.Divider />}
            <Item {...item} />
          </Fragment>
        ))}
      </Menu.Dropdown>
    </Menu>
  );
}

function Item({ label, icon, to, onClick, reason, danger }: MoreItem) {
  const disabled = reason != null;
  const shared = {
    leftSection: icon === undefined ? undefined : <Icon name={icon} size={14} />,
    ...(danger ? { color: "red" } : {}),
  };
  const text = (
    <>
      {label}
      {disabled && (
        <Text size="xs" c="dimmed" maw={260} style={{ whiteSpace: "normal" }}>
          {reason}
        </Text>
      )}
    </>
  );
  if (to !== undefined && !disabled) {
    return (
      <Menu.Item {...shared} component={Link} to={to}>
        {text}
      </Menu.Item>
    );
  }
  return (
    <Menu.Item
      {...shared}
      aria-disabled={disabled || undefined}
      closeMenuOnClick={!disabled}
      onClick={disabled ? undefined : onClick}
    >
      {text}
    </Menu.Item>
  );
}
