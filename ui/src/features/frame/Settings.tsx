/** Who is signed in, theme, language, sign out. */
import { Menu, Text, UnstyledButton, useMantineColorScheme } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { NavLink } from "react-router";

import { useLogout } from "../../api/mutations/session";
import { meQuery } from "../../api/queries/me";
import { LANGUAGES, preferences } from "../../lib/preferences";
import { strings } from "../../lib/strings";
import { applyTheme, storedTheme, THEMES, type Theme } from "../../lib/theme";
import { paths } from "../../paths";
import { Icon } from "../../ui/icons";
import classes from "./frame.module.css";

export function Settings() {
  const { data: me } = useQuery(meQuery());
  const logout = useLogout();
  const words = strings.frame;
  const name = me?.username ?? "";
  return (
    <Menu position="bottom-end" transitionProps={{ duration: 0 }} width={240} withinPortal>
      <Menu.Target>
        <UnstyledButton className={classes.user} aria-label={words.settings(name)} title={name}>
          {name === "" ? <Icon name="user" /> : <span aria-hidden="true">{name.slice(0, 1).toUpperCase()}</span>}
        </UnstyledButton>
      </Menu.Target>
      <Menu.Dropdown>
        {me !== undefined && (
          <>
            <div className={classes.me}>
              <Text fw={600} truncate>
                {me.username}
              </Text>
              <Text size="xs" c="dimmed">
                {words.role(words.roles[me.role] ?? me.role)}
              </Text>
            </div>
            <Menu.Divider />
          </>
        )}
        <ThemeItems />
        <Menu.Divider />
        <Menu.Label>{words.language}</Menu.Label>
        <Menu.RadioGroup
          value={preferences.language()}
          onChange={(value) => preferences.setLanguage(value === "zh" ? "zh" : "en")}
        >
          {LANGUAGES.map((language) => (
            <Menu.RadioItem key={language} value={language} closeMenuOnClick={false}>
              <span lang={language === "zh" ? "zh-CN" : "en"}>{words.languages[language]}</span>
            </Menu.RadioItem>
          ))}
        </Menu.RadioGroup>
        <Menu.Divider />
        <Menu.Item component={NavLink} to={paths.tokens()} leftSection={<Icon name="key" size={14} />}>
          {words.nav.tokens}
        </Menu.Item>
        <Menu.Item component={NavLink} to={paths.about()} leftSection={<Icon name="info" size={14} />}>
          {words.nav.about}
        </Menu.Item>
        <Menu.Item leftSection={<Icon name="signOut" size={14} />} onClick={() => logout.mutate()}>
          {strings.app.signOut}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  );
}

function ThemeItems() {
  const { setColorScheme } = useMantineColorScheme();
  const [theme, setTheme] = useState(storedTheme);
  const choose = (next: Theme) => {
    applyTheme(next);
    setColorScheme(next === "contrast" ? "auto" : next);
    setTheme(next);
  };
  return (
    <>
      <Menu.Label>{strings.frame.theme}</Menu.Label>
      <Menu.RadioGroup value={theme} onChange={(value) => choose(THEMES.find((one) => one === value) ?? "auto")}>
        {THEMES.map((one) => (
          <Menu.RadioItem key={one} value={one} closeMenuOnClick={false}>
            {strings.frame.themes[one]}
          </Menu.RadioItem>
        ))}
      </Menu.RadioGroup>
    </>
  );
}
