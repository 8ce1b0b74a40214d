/** So many assets are drawn at once: the most that the API gives. */
export const GRAPH_ASSETS = 100;
