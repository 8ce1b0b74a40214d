/** The pages, at the left edge of a window and at the bottom of a phone. */
import { Menu, Tooltip, UnstyledButton } from "@mantine/core";
import { useState } from "react";
import { Link, NavLink, useLocation } from "react-router";

import { strings } from "../../lib/strings";
import { paths } from "../../paths";
import { Icon } from "../../ui/icons";
import classes from "./frame.module.css";
import { ADMIN, MAIN, nameOf, type Page } from "./pages";

const KEY = "updraft.rail";

const isUnder = (pathname: string, to: string) => pathname === to || pathname.startsWith(`${to}/`);

export function Rail() {
  const [pinned, setPinned] = useState(() => localStorage.getItem(KEY) === "wide");
  const pin = () => {
    localStorage.setItem(KEY, pinned ? "narrow" : "wide");
    setPinned(!pinned);
  };
  const words = strings.frame;
  return (
    <nav aria-label={strings.app.nav} className={classes.rail} data-pinned={pinned || undefined}>
      <Link to={paths.home()} className={classes.logo} aria-label={strings.app.name} tabIndex={-1}>
        <Logo />
        <span className={classes.label}>{strings.app.name}</span>
      </Link>
      {MAIN.map((page) => (
        <Item key={page.id} page={page} pinned={pinned} />
      ))}
      <AdminMenu pinned={pinned} pages={ADMIN} label={words.nav.admin} icon="admin" />
      <div style={{ flex: 1 }} />
      <Tooltip label={pinned ? words.unpin : words.pin} position="right">
        <UnstyledButton
          className={classes.item}
          aria-label={pinned ? words.unpin : words.pin}
          aria-expanded={pinned}
          onClick={pin}
        >
          <Icon name={pinned ? "left" : "right"} size={16} />
        </UnstyledButton>
      </Tooltip>
    </nav>
  );
}

function Item({ page, pinned }: { page: Page; pinned: boolean }) {
  return (
    <Tooltip label={nameOf(page)} position="right" disabled={pinned} openDelay={200}>
      <NavLink to={page.to} end={page.to === "/"} className={classes.item ?? ""} aria-label={nameOf(page)}>
        <Icon name={page.icon} size={20} />
        <span className={classes.label}>{nameOf(page)}</span>
      </NavLink>
    </Tooltip>
  );
}

function AdminMenu({
  pinned,
  pages,
  label,
  icon,
}: {
  pinned: boolean;
  pages: Page[];
  label: string;
  icon: Page["icon"];
}) {
  const { pathname } = useLocation();
  const here = pages.some(({ to }) => isUnder(pathname, to));
  return (
    <Menu position="right-start" transitionProps={{ duration: 0 }} trigger="click-hover" openDelay={120} withinPortal>
      <Menu.Target>
        <UnstyledButton className={classes.item} aria-label={label} data-here={here || undefined}>
          <Icon name={icon} size={20} />
          <span className={classes.label}>{label}</span>
          {pinned && <Icon name="right" size={12} />}
        </UnstyledButton>
      </Menu.Target>
      <Menu.Dropdown>
        {pages.map((page) => (
          <Menu.Item
            key={page.id}
            component={NavLink}
            to={page.to}
            leftSection={<Icon name={page.icon} size={14} />}
            className={classes.menuItem}
          >
            {nameOf(page)}
          </Menu.Item>
        ))}
        <Menu.Divider />
        <Menu.Item component="a" href="/docs" leftSection={<Icon name="external" size={14} />}>
          {strings.frame.nav.reference}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

/** The same pages for a thumb. */
export function BottomBar({ onSearch }: { onSearch: () => void }) {
  const [home, dags, runs, ...rest] = MAIN;
  const { pathname } = useLocation();
  const words = strings.frame.nav;
  const others = [...rest, ...ADMIN];
  const here = others.some(({ to }) => isUnder(pathname, to));
  return (
    <nav aria-label={strings.frame.bottomNav} className={classes.bottom}>
      {[home, dags, runs].map(
        (page) =>
          page !== undefined && (
            <NavLink key={page.id} to={page.to} end={page.to === "/"}>
              <Icon name={page.icon} size={20} />
              <span>{nameOf(page)}</span>
            </NavLink>
          ),
      )}
      <UnstyledButton onClick={onSearch}>
        <Icon name="search" size={20} />
        <span>{words.search}</span>
      </UnstyledButton>
      <Menu position="top-end" transitionProps={{ duration: 0 }} withinPortal>
        <Menu.Target>
          <UnstyledButton data-here={here || undefined}>
            <Icon name="menu" size={20} />
            <span>{words.more}</span>
          </UnstyledButton>
        </Menu.Target>
        <Menu.Dropdown>
          {others.map((page) => (
            <Menu.Item
              key={page.id}
              component={NavLink}
              to={page.to}
              leftSection={<Icon name={page.icon} size={16} />}
              className={classes.menuItem}
            >
              {nameOf(page)}
            </Menu.Item>
          ))}
        </Menu.Dropdown>
      </Menu>
    </nav>
  );
}

/** Air that rises. */
function Logo() {
  return (
    <svg width="24" height="24" viewBox="0 0 24 24" fill="none" stroke="currentColor" aria-hidden="true">
      <path d="M5 20V12M12 20V5M19 20v-8" strokeWidth="2.4" strokeLinecap="round" opacity="0.45" />
      <path
        d="M2.6 13.4 5 11l2.4 2.4M8.6 7.4 12 4l3.4 3.4M16.6 13.4 19 11l2.4 2.4"
        strokeWidth="2.4"
        strokeLinecap="round"
        strokeLinejoin="round"
      />
    </svg>
  );
}
