/**
 * The bearer token of this tab. Without one, requests rely on the `_token` cookie, which the server may have set.
 * `ended` becomes true when the server no longer accepts us; the frame then shows the login page.
 */
const KEY = "updraft.token";
const listeners = new Set<() => void>();
let ended = false;

function changed() {
  for (const listener of listeners) listener();
}

export const session = {
  token: () => sessionStorage.getItem(KEY),
  hasEnded: () => ended,
  begin(token: string) {
    sessionStorage.setItem(KEY, token);
    ended = false;
    changed();
  },
  end() {
    sessionStorage.removeItem(KEY);
    ended = true;
    changed();
  },
  subscribe(listener: () => void) {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  },
};
