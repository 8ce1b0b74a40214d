/** Nearer, farther, all of it: the corner of every graph. */
import type { RefObject } from "react";

import { strings } from "../../lib/strings";
import { IconButton } from "../../ui/Reason";
import classes from "./graph.module.css";
import type { GraphHandle } from "./GraphView";

export function ZoomButtons({ of: graph }: { of: RefObject<GraphHandle | null> }) {
  const button = (icon: "plus" | "minus" | "fit", label: string, act: (handle: GraphHandle) => void) => (
    <IconButton
      icon={icon}
      variant="default"
      label={label}
      onClick={() => {
        if (graph.current !== null) act(graph.current);
      }}
    />
  );
  return (
    <div className={classes.zoom}>
      {button("plus", strings.graph.zoomIn, (handle) => handle.zoom(1.25))}
      {button("minus", strings.graph.zoomOut, (handle) => handle.zoom(0.8))}
      {button("fit", strings.graph.fit, (handle) => handle.fit())}
    </div>
  );
}
