import classes from "./admin.module.css";

/** How much of something is used. `parts` are shares of the whole, from 0 to 1, and how each looks. */
export function Usage({
  label,
  parts,
}: {
  label: string;
  parts: { share: number; look: "used" | "queued" | "full" }[];
}) {
  return (
    <span className={classes.usage} role="img" aria-label={label}>
      {parts.map(({ share, look }) => (
        <i key={look} data-look={look} style={{ width: `${Math.min(1, Math.max(0, share)) * 100}%` }} />
      ))}
    </span>
  );
}
