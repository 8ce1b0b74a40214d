/** The one before and the one after, of things in a row; where there is none, no button. */
import { Button } from "@mantine/core";
import { Link } from "react-router";

import { Icon } from "./icons";

export interface Neighbour {
  to: string;
  label: string;
}

interface Props {
  previous: Neighbour | undefined;
  next: Neighbour | undefined;
}

export function NeighbourButtons({ previous, next }: Props) {
  const link = (other: Neighbour | undefined, icon: "left" | "right") =>
    other !== undefined && (
      <Button
        component={Link}
        to={other.to}
        size="compact-sm"
        variant="default"
        aria-label={other.label}
        title={other.label}
        px={6}
      >
        <Icon name={icon} size={14} />
      </Button>
    );
  return (
    <Button.Group>
      {link(previous, "left")}
      {link(next, "right")}
    </Button.Group>
  );
}
