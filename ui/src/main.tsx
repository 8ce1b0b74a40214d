import { StrictMode } from "react";
import { createRoot } from "react-dom/client";
import { createBrowserRouter, RouterProvider } from "react-router";

import { newQueryClient } from "./api/queries";
import { App } from "./app";
import { routes } from "./routes";

const root = document.getElementById("root");
if (root === null) throw new Error("index.html has no #root");

const queries = newQueryClient();
const router = createBrowserRouter(routes(queries));
createRoot(root).render(
  <StrictMode>
    <App queries={queries}>
      <RouterProvider router={router} />
    </App>
  </StrictMode>,
);
