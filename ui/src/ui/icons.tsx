/** One set of line icons. Decoration: the control that holds one has the words. */
import { ICONS, type IconName } from "../lib/icons";

export type { IconName };

const STYLE = { flex: "none" } as const;

export function Icon({ name, size = 16, filled = false }: { name: IconName; size?: number; filled?: boolean }) {
  return (
    <svg
      width={size}
      height={size}
      viewBox="0 0 16 16"
      fill={filled ? "currentColor" : "none"}
      stroke="currentColor"
      strokeWidth={name === "more" ? 2.4 : 1.4}
      strokeLinecap="round"
      strokeLinejoin="round"
      aria-hidden="true"
      style={STYLE}
    >
      <path d={ICONS[name]} />
    </svg>
  );
}
