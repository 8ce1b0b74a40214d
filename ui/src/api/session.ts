/**
 * Whether the server knows us. The login is a cookie that no script can read (`_token`), so all that is known here is that it was
 * refused: `ended` becomes true when the server no longer accepts us; the frame then shows the login page.
 */
const listeners = new Set<() => void>();
let ended = false;

function set(now: boolean) {
  ended = now;
  for (const listener of listeners) listener();
}

export const session = {
  hasEnded: () => ended,
  begin: () => set(false),
  end: () => set(true),
  subscribe(listener: () => void) {
    listeners.add(listener);
    return () => void listeners.delete(listener);
  },
};
