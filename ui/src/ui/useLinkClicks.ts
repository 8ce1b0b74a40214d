/**
 * Has plain `<a href>`s within an element go to pages as `Link` does. For long lists: a `Link` costs more than all else in a row.
 * What was handled already (a `Link`), opens elsewhere, or is held with a key is left to the browser.
 */
import { useCallback, type MouseEvent } from "react";
import { useNavigate } from "react-router";

export function useLinkClicks() {
  const navigate = useNavigate();
  return useCallback(
    (event: MouseEvent<HTMLElement>) => {
      const { defaultPrevented, button, metaKey, ctrlKey, shiftKey, altKey, target } = event;
      if (defaultPrevented || button !== 0 || metaKey || ctrlKey || shiftKey || altKey) return;
      const link = target instanceof Element ? target.closest("a") : null;
      if (link === null || !event.currentTarget.contains(link)) return;
      const to = link.getAttribute("href");
      if (to === null || !to.startsWith("/") || link.target !== "" || link.hasAttribute("download")) return;
      event.preventDefault();
      void navigate(to);
    },
    [navigate],
  );
}
