/** Docs that people wrote, as elements; see `lib/markdown.ts` for what is understood. */
import { Fragment, type ReactNode } from "react";

import { markdown, type Block, type Inline } from "../lib/markdown";
import classes from "./markdown.module.css";

export function Markdown({ source, top = 3 }: { source: string; top?: number }) {
  return <div className={classes.markdown}>{blocks(markdown(source), top)}</div>;
}

const blocks = (list: Block[], top: number) =>
  list.map((block, index) => <Fragment key={index}>{one(block, top)}</Fragment>);

/** `top`: the level that the first heading has on the page it stands on. */
function one(block: Block, top: number): ReactNode {
  switch (block.kind) {
    case "heading": {
      const Tag = `h${Math.min(6, block.level + top - 1)}` as "h2";
      return <Tag>{words(block.children)}</Tag>;
    }
    case "paragraph":
      return <p>{words(block.children)}</p>;
    case "code":
      return (
        <pre>
          <code>{block.text}</code>
        </pre>
      );
    case "quote":
      return <blockquote>{blocks(block.children, top)}</blockquote>;
    case "rule":
      return <hr />;
    case "list": {
      const Tag = block.ordered ? "ol" : "ul";
      return (
        <Tag>
          {block.items.map((item, index) => (
            <li key={index}>{words(item)}</li>
          ))}
        </Tag>
      );
    }
    case "table":
      return (
        <table>
          <thead>
            <tr>
              {block.head.map((cell, index) => (
                <th key={index} scope="col">
                  {words(cell)}
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {block.rows.map((row, index) => (
              <tr key={index}>
                {row.map((cell, column) => (
                  <td key={column}>{words(cell)}</td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      );
  }
}

const words = (list: Inline[]): ReactNode =>
  list.map((item, index) => {
    switch (item.kind) {
      case "text":
        return item.text;
      case "code":
        return <code key={index}>{item.text}</code>;
      case "strong":
        return <strong key={index}>{words(item.children)}</strong>;
      case "emphasis":
        return <em key={index}>{words(item.children)}</em>;
      case "link":
        return (
          <a key={index} href={item.to} rel="noreferrer">
            {words(item.children)}
          </a>
        );
    }
  });
