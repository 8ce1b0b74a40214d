/** What the compiler cannot see of the catalogue: values left in English, words that nothing uses, and sentences outside of it. */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";

import ts from "typescript";
import { describe, expect, it } from "vitest";

import { preferences } from "../preferences";
import { catalogue, strings } from ".";

const SRC = join(import.meta.dirname, "../..");

/** Names, which are the same in both languages. */
const NAMES =
  /\b(?:Updraft|DAGs?|UTC|API|JSON|YAML|CSV|PNG|SVG|curl|English|XComs?|ISO|TLS|OIDC|[KMG]i?B|ms|Ctrl|Asia\/Shanghai)\b/g;
/** The same in both for another reason. `area.key`. */
const SAME = new Set<string>(["admin.nodes.cpu"]);
/** English that has Chinese in it. */
const CHINESE = new Set(["frame.languages.zh"]);
/** Read by a key that the server gives. */
const BY_KEY = new Set(["states", "runTypes", "reasons"]);

type Leaf = string | ((...values: never[]) => unknown);

function* leaves(of: object, path: string): Generator<[path: string, leaf: Leaf]> {
  for (const [key, value] of Object.entries(of) as [string, Leaf | object][]) {
    const here = path === "" ? key : `${path}.${key}`;
    if (typeof value === "object" && value !== null) yield* leaves(value, here);
    else yield [here, value];
  }
}

/** What is written in it: the text, or the literal pieces of what the function makes. */
function written(value: Leaf): string {
  if (typeof value === "string") return value;
  const pieces: string[] = [];
  const visit = (node: ts.Node) => {
    if (ts.isStringLiteralLike(node) || ts.isTemplateHead(node) || ts.isTemplateMiddleOrTemplateTail(node))
      pieces.push(node.text);
    ts.forEachChild(node, visit);
  };
  visit(ts.createSourceFile("x.ts", `(${value.toString()})`, ts.ScriptTarget.Latest));
  return pieces.join(" ");
}

const isChinese = (value: Leaf) => /\p{Script=Han}/u.test(written(value));
const hasWords = (text: string) => /\p{L}{2,}/u.test(text.replaceAll(NAMES, ""));

describe("the catalogue", () => {
  it("has a Chinese text for every English one", () => {
    const chinese = new Map(leaves(catalogue.zh, ""));
    const untranslated = [...leaves(catalogue.en, "")].filter(([path]) => {
      const translation = chinese.get(path);
      return (
        translation === undefined || (!SAME.has(path) && hasWords(written(translation)) && !isChinese(translation))
      );
    });
    expect(untranslated.map(([path, value]) => `${path}: ${written(value)}`)).toEqual([]);
  });

  it("has no Chinese among the English", () => {
    const chinese = [...leaves(catalogue.en, "")].filter(([path, value]) => !CHINESE.has(path) && isChinese(value));
    expect(chinese.map(([path]) => path)).toEqual([]);
  });

  it("has no word that nothing uses", () => {
    const code = files()
      .map(([, text]) => text)
      .join("\n");
    const unused = [...leaves(catalogue.en, "")]
      .map(([path]) => path)
      .filter((path) => !BY_KEY.has(path.split(".")[0] ?? ""))
      .filter((path) => {
        const [key = "", ...above] = path.split(".").toReversed();
        // `strings.audit.deeds[name]`
        if (above.some((part) => code.includes(`.${part}[`))) return false;
        // Read as `.key`, `["key"]`, or by a key that is a value somewhere ("key").
        return !new RegExp(`[.?]${key}\\b|"${key}"|\\b${key}:`).test(code);
      });
    expect(unused).toEqual([]);
  });

  it("follows the language at once", () => {
    expect(strings.dags.owner).toBe("Owner");
    preferences.setLanguage("zh");
    expect(strings.dags.owner).toBe("负责人");
    preferences.setLanguage("en");
    expect(strings.dags.owner).toBe("Owner");
  });
});

/** Sources of the pages, without tests, fixtures and the catalogue itself. */
function files(): [name: string, text: string][] {
  return (readdirSync(SRC, { recursive: true }) as string[])
    .filter((name) => /\.tsx?$/.test(name) && !/\.test\.|\.d\.ts$|^testing\/|^lib\/strings\//.test(name))
    .map((name) => [name, readFileSync(join(SRC, name), "utf8")]);
}

/** Attributes that people read or hear. */
const READ =
  /^(aria-(label|description|roledescription|valuetext)|label|title|placeholder|description|alt|error|tooltip|caption|legend)$/;

function literals(name: string, text: string): string[] {
  const file = ts.createSourceFile(name, text, ts.ScriptTarget.Latest, true, ts.ScriptKind.TSX);
  const found: string[] = [];
  const note = (node: ts.Node, what: string) => {
    const { line } = file.getLineAndCharacterOfPosition(node.getStart());
    found.push(`${relative(".", name)}:${line + 1}: ${what.trim()}`);
  };
  /** Strings among the values of an expression: "x", a ? "x" : "y", `x ${y}`. */
  const texts = (node: ts.Expression) => {
    if (ts.isStringLiteralLike(node)) {
      if (hasWords(node.text)) note(node, node.text);
    } else if (ts.isTemplateExpression(node)) {
      const words = [node.head.text, ...node.templateSpans.map((span) => span.literal.text)].join(" ");
      if (hasWords(words)) note(node, words);
    } else if (ts.isConditionalExpression(node)) {
      texts(node.whenTrue);
      texts(node.whenFalse);
    } else if (ts.isParenthesizedExpression(node)) texts(node.expression);
    else if (ts.isBinaryExpression(node)) {
      texts(node.right);
      if (node.operatorToken.kind !== ts.SyntaxKind.AmpersandAmpersandToken) texts(node.left);
    }
  };
  const visit = (node: ts.Node) => {
    if (ts.isJsxText(node) && hasWords(node.text)) note(node, node.text);
    if (ts.isJsxExpression(node) && node.expression !== undefined && !ts.isJsxAttribute(node.parent))
      texts(node.expression);
    if (ts.isJsxAttribute(node) && READ.test(node.name.getText()) && node.initializer !== undefined) {
      if (ts.isStringLiteral(node.initializer)) texts(node.initializer);
      else if (ts.isJsxExpression(node.initializer) && node.initializer.expression !== undefined)
        texts(node.initializer.expression);
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

/** `strings` read while a module is loaded, outside of any function: it would stay in the language of that moment. */
function readTooEarly(name: string, text: string): string[] {
  const file = ts.createSourceFile(name, text, ts.ScriptTarget.Latest, true, ts.ScriptKind.TSX);
  const found: string[] = [];
  const visit = (node: ts.Node) => {
    if (ts.isFunctionLike(node) || ts.isTypeNode(node) || ts.isImportDeclaration(node)) return;
    if (ts.isIdentifier(node) && node.text === "strings") {
      found.push(`${name}:${file.getLineAndCharacterOfPosition(node.getStart()).line + 1}`);
    }
    ts.forEachChild(node, visit);
  };
  visit(file);
  return found;
}

describe("the pages", () => {
  it("find literal text where there is some", () => {
    const text = `const x = <p title="a title">words <b>{n > 1 ? "many" : \`one \${n} here\`}</b></p>; const e = <i className="fine">{"·"}</i>;`;
    expect(literals("x.tsx", text)).toHaveLength(4);
    expect(
      readTooEarly("x.ts", "const words = strings.dags; const f = () => strings.dags; type T = typeof strings;"),
    ).toEqual(["x.ts:1"]);
  });

  it("say nothing that is not in the catalogue", () => {
    expect(
      files()
        .filter(([name]) => name.endsWith(".tsx"))
        .flatMap(([name, text]) => literals(name, text)),
    ).toEqual([]);
  });

  it("do not read the catalogue before it is known which language it is", () => {
    expect(files().flatMap(([name, text]) => readTooEarly(name, text))).toEqual([]);
  });
});
