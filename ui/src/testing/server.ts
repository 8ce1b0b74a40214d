import { setupServer } from "msw/node";

import { handlers } from "./handlers";

/** The fixtures of `handlers.ts` behind `fetch`. */
export const server = setupServer(...handlers);
