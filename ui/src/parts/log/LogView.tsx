/**
 * The log of one try: opened where it matters (a line of the address, the error, the end of what runs), searched and filtered
 * whatever its size. What is shown is in the address: `?find=&level=&only=`, and the line in its hash.
 */
import { Button } from "@mantine/core";
import { useFullscreenElement, useMediaQuery } from "@mantine/hooks";
import { useCallback, useEffect, useLayoutEffect, useMemo, useRef, useState } from "react";
import { useLocation, useNavigate, useSearchParams } from "react-router";

import { messageOf } from "../../api/errors";
import { bytes as bytesText } from "../../lib/bytes";
import { LEVELS } from "../../lib/log/levels";
import type { Source, Spot } from "../../lib/log/layout";
import type { LogLine } from "../../lib/log/lines";
import { PAGE, type LogPages } from "../../lib/log/pages";
import { finder, isEmpty, MOST, type Match, type Query } from "../../lib/log/scan";
import { stateWord } from "../../lib/states";
import { strings } from "../../lib/strings";
import { PanelError } from "../../ui/PanelError";
import { SkeletonRows } from "../../ui/Skeletons";
import { useHotkeys } from "../../ui/useHotkeys";
import { Lines, type LinesHandle } from "./Lines";
import classes from "./log.module.css";
import { changeLogSettings, TIME_MODES, useLogSettings } from "./settings";
import { Toolbar, type LogQuery } from "./Toolbar";
import { runScan, useFound } from "./useScan";
import type { TryLog } from "./useTryLog";

/** Matches in one block of a filtered log. */
const BLOCK = 400;

interface Props {
  log: TryLog;
  live: boolean;
  /** Of the task. */
  state: string | null;
  startedAt: string | null;
  /** For the file that is downloaded. */
  name: string;
}

/** The line that an address names: by its number, or by the bytes before it. */
export function lineOf(hash: string): { number: number } | { offset: number } | null {
  const [, kind, digits] = /^#([LB])(\d{1,15})$/.exec(hash) ?? [];
  if (kind === undefined) return null;
  return kind === "L" ? { number: Math.max(0, Number(digits) - 1) } : { offset: Number(digits) };
}

/** Where the line of an address begins; null while that is not known. */
function targetOf(pages: LogPages, hash: string): number | null {
  const line = lineOf(hash);
  if (line === null || "offset" in line) return line?.offset ?? null;
  const page = pages.pageOfLine(line.number);
  return page === null ? null : (pages.page(page)?.[line.number - (pages.firstOf(page) ?? 0)]?.offset ?? null);
}

function queryOf(search: URLSearchParams): LogQuery {
  const levels = (search.get("level") ?? "").split(",");
  return {
    text: search.get("find") ?? "",
    isRegex: search.has("regex"),
    isCaseSensitive: search.has("case"),
    levels: LEVELS.filter((level) => levels.includes(level)),
    only: search.has("only"),
  };
}

export function LogView({ log, live, state, startedAt, name }: Props) {
  const { now, address } = log;
  const { pages } = now;
  const isOpen = pages.opened;
  const [search, setSearch] = useSearchParams();
  const location = useLocation();
  const navigate = useNavigate();
  const settings = useLogSettings();
  const isNarrow = useMediaQuery("(max-width: 600px)") ?? false;
  const handle = useRef<LinesHandle>(null);
  const searchBox = useRef<HTMLInputElement>(null);
  const { ref: fullscreenRef, toggle: toggleFullscreen, fullscreen } = useFullscreenElement();

  const query = useMemo(() => queryOf(search), [search]);
  const onQuery = (change: Partial<LogQuery>) => {
    const next = { ...query, ...change };
    setSearch(
      (before) => {
        const to = new URLSearchParams(before);
        const put = (key: string, value: string) => (value === "" ? to.delete(key) : to.set(key, value));
        put("find", next.text);
        put("level", next.levels.join(","));
        put("regex", next.isRegex ? "1" : "");
        put("case", next.isCaseSensitive ? "1" : "");
        put("only", next.only && next.text !== "" ? "1" : "");
        return to;
      },
      { replace: true, preventScrollReset: true },
    );
  };

  const isFiltered = query.levels.length > 0 || (query.only && query.text !== "");
  const asked = useMemo(
    () => ({ text: query.text, isRegex: query.isRegex, isCaseSensitive: query.isCaseSensitive, levels: query.levels }),
    [query],
  );
  const found = useFound(now, address, isEmpty(asked) ? null : asked);
  const find = useMemo(() => finder(asked), [asked]);

  // --- what is shown: the log, or what of it matches ---
  const whole = useMemo<Source>(() => {
    const { pages: of } = now;
    return { blocks: of.count, block: (index) => of.page(index), size: (index) => of.linesOf(index) };
  }, [now]);
  const matches = found?.matches;
  const filtered = useMemo(() => blocksOf(matches ?? []), [matches]);
  const source = isFiltered ? filtered.source : whole;

  const numberOf = useCallback(
    ({ block, index }: Spot) => {
      if (isFiltered) return filtered.matches[block * BLOCK + index]?.number ?? null;
      const first = pages.firstOf(block);
      return first === null ? null : first + index;
    },
    [isFiltered, filtered, pages],
  );
  const need = useCallback(
    (first: number, last: number) => {
      if (!isFiltered) void pages.need(first, last);
    },
    [isFiltered, pages],
  );

  // --- where to look ---
  const { hash } = location;
  const target = useMemo(() => targetOf(now.pages, hash), [now, hash]);
  const [hit, setHit] = useState<number | null>(null);
  const [atEnd, setAtEnd] = useState(false);
  const [seeking, setSeeking] = useState<number | null>(null);

  const spotOf = useCallback(
    (offset: number): Spot | null => {
      if (!isFiltered) return pages.find(offset) && toSpot(pages.find(offset));
      const index = filtered.matches.findIndex((match) => match.line.offset === offset);
      return index < 0 ? null : { block: Math.floor(index / BLOCK), index: index % BLOCK };
    },
    [isFiltered, filtered, pages],
  );
  const showOffset = useCallback(
    (offset: number) => {
      const spot = spotOf(offset);
      if (spot !== null) handle.current?.show(spot);
      else if (!isFiltered) {
        // Its page is not here: read it, then show the line in it.
        const page = Math.min(pages.count - 1, Math.floor(offset / PAGE));
        void pages.need(page, page + 1).then(() => {
          const there = pages.find(offset);
          handle.current?.show(there === null ? { block: page, index: 0 } : toSpot(there));
        });
      }
    },
    [spotOf, isFiltered, pages],
  );

  // The line of the address: once when the log is there, and again when another one is chosen.
  const shown = useRef<string | null>(null);
  useEffect(() => {
    if (!isOpen || hash === shown.current) return;
    const line = lineOf(hash);
    if (line === null) return;
    shown.current = hash;
    if ("offset" in line) {
      showOffset(line.offset);
      return;
    }
    const show = async () => {
      const page = pages.pageOfLine(line.number);
      if (page === null) return false;
      await pages.need(page, page);
      handle.current?.show({ block: page, index: line.number - (pages.firstOf(page) ?? 0) });
      return true;
    };
    let stop = () => {};
    void show().then((isShown) => {
      if (isShown || (pages.lines !== null && line.number >= pages.lines)) return;
      // Lines before it are not counted: count them.
      setSeeking(line.number);
      stop = runScan(
        { address, query: null, untilLine: line.number },
        ({ firstPage, counts }) => pages.setCounts(firstPage, counts),
        () => {
          setSeeking(null);
          void show();
        },
      );
    });
    return () => stop();
  }, [pages, isOpen, hash, address, showOffset]);

  // Without a line in the address: the error of what failed, the end of what runs.
  const failureAt = log.failure?.line.offset ?? null;
  const { isSought } = log;
  const wasOpened = useRef(false);
  useEffect(() => {
    if (!isOpen || wasOpened.current || isFiltered) return;
    if (lineOf(hash) === null) {
      if (failureAt !== null) showOffset(failureAt);
      else if (live) handle.current?.toEnd();
      else if (!isSought) return;
      // A failure without a word about it: what was written last.
      else if (pages.page(0) === undefined) handle.current?.toEnd();
    }
    wasOpened.current = true;
  }, [pages, isOpen, live, failureAt, isSought, isFiltered, hash, showOffset]);

  const onLink = useCallback(
    (line: LogLine, number: number | null) => {
      const to = number === null ? `#B${line.offset}` : `#L${number + 1}`;
      // It is in view already.
      shown.current = to;
      void navigate({ search: location.search, hash: to }, { replace: true, preventScrollReset: true });
    },
    [navigate, location.search],
  );

  // --- steps through matches and errors ---
  const [stepped, setStepped] = useState<{ of: Query; at: number } | null>(null);
  const step = stepped?.of === asked ? stepped.at : -1;
  const isKnown = found !== null && find !== null;
  const stepHit = (by: 1 | -1) => {
    if (!isKnown || found.matches.length === 0) return;
    const next = (step + by + found.matches.length) % found.matches.length;
    const to = step < 0 && by < 0 ? found.matches.length - 1 : next;
    const match = found.matches[to];
    if (match === undefined) return;
    setStepped({ of: asked, at: to });
    setHit(match.line.offset);
    showOffset(match.line.offset);
  };
  const errors = useMemo(() => {
    const of = (line: LogLine) => line.level === "error";
    const lines = isFiltered
      ? filtered.matches.map((match) => match.line).filter(of)
      : [...now.pages.here()].filter(of);
    return lines.map((line) => line.offset);
  }, [now, isFiltered, filtered]);
  const errorAt = useRef<number | null>(null);
  const stepError = (by: 1 | -1) => {
    const at = errorAt.current ?? hit ?? target ?? failureAt;
    const forward = errors.find((offset) => at === null || offset > at) ?? errors[0];
    const back = errors.findLast((offset) => at === null || offset < at) ?? errors.at(-1);
    const to = by > 0 ? forward : back;
    if (to === undefined) return;
    errorAt.current = to;
    setHit(to);
    showOffset(to);
  };

  const toStart = () => {
    void pages.need(0, 0);
    handle.current?.toStart();
  };
  const toEnd = () => {
    void pages.need(pages.count - 1, pages.count - 1);
    handle.current?.toEnd();
  };
  const turn = () => TIME_MODES[(TIME_MODES.indexOf(settings.time) + 1) % TIME_MODES.length] ?? "local";
  const keys = strings.logs.keys;
  useHotkeys(strings.tasks.log, [
    { keys: "/", label: keys.search, run: () => searchBox.current?.focus() },
    { keys: "n", label: keys.next, run: () => (isKnown ? stepHit(1) : stepError(1)) },
    { keys: "Shift+N", label: keys.previous, run: () => (isKnown ? stepHit(-1) : stepError(-1)) },
    { keys: "w", label: strings.logs.wrap, run: () => changeLogSettings({ wrap: !settings.wrap }) },
    { keys: "t", label: strings.logs.time, run: () => changeLogSettings({ time: turn() }) },
    { keys: "s", label: strings.logs.source, run: () => changeLogSettings({ source: !settings.source }) },
    { keys: "f", label: strings.logs.fullscreen, run: () => void toggleFullscreen() },
    { keys: "d", label: strings.logs.download, run: () => save(address, `${name}.jsonl`) },
    { keys: "Mod+ArrowUp", label: strings.logs.top, run: toStart },
    { keys: "Mod+ArrowDown", label: strings.logs.bottom, run: toEnd },
  ]);

  const count = found === null ? 0 : found.matches.length;
  const many = found?.isCut ? strings.logs.atLeast(count) : strings.logs.number(count);
  const isSearching = found !== null && found.progress < 1;
  const hits = !isKnown
    ? null
    : count === 0
      ? isSearching
        ? strings.logs.searched(Math.floor(found.progress * 100))
        : strings.logs.noHits
      : step < 0
        ? many
        : strings.logs.hits(step + 1, many);
  const lines = pages.lines;
  const estimate = useMemo(() => {
    const { pages: of } = now;
    let all = 0;
    for (let page = 0; page < of.count; page++) all += of.linesOf(page);
    return all;
  }, [now]);
  const all = lines === null ? strings.logs.about(round(estimate)) : strings.logs.lines(lines);
  const status = isFiltered
    ? `${strings.logs.matching(many, all)}${isSearching ? ` · ${strings.logs.searched(Math.floor(found.progress * 100))}` : ""}`
    : all;

  const marks = useMemo(() => {
    const at = new Map<string, { at: number; level: string }>();
    if (isFiltered || pages.total === 0) return [];
    const add = (offset: number, level: string) => {
      const place = Math.round((offset / pages.total) * 300) / 300;
      const known = at.get(String(place));
      if (known === undefined || level !== "warning") at.set(String(place), { at: Math.min(place, 0.99), level });
    };
    for (const offset of errors) add(offset, "error");
    if (isKnown) for (const match of found.matches.slice(0, 2_000)) add(match.line.offset, "hit");
    return [...at.values()];
  }, [isFiltered, pages, errors, isKnown, found]);

  // As high as the window has room for, below whatever is above it.
  const view = useRef<HTMLElement>(null);
  useLayoutEffect(() => {
    const element = view.current;
    if (element === null) return;
    const top = Math.round(element.getBoundingClientRect().top + window.scrollY);
    element.style.setProperty("--above", `${Math.max(0, top)}px`);
  });
  const join = useCallback(
    (element: HTMLElement | null) => {
      view.current = element;
      fullscreenRef(element);
    },
    [fullscreenRef],
  );

  const isEmptyLog = pages.opened && pages.total === 0;
  const isFollowing = live && atEnd;
  return (
    <section ref={join} className={classes.view} aria-label={strings.tasks.log}>
      <Toolbar
        searchRef={searchBox}
        query={query}
        onQuery={onQuery}
        hits={hits}
        onStep={stepHit}
        onErrorStep={stepError}
        noErrors={errors.length === 0 ? strings.logs.noHits : null}
        status={live ? `${status} · ${isFollowing ? strings.logs.follow : strings.states[stateWord(state)]}` : status}
        download={{ address, name: `${name}.jsonl`, size: bytesText(pages.total) }}
        isFullscreen={fullscreen}
        onFullscreen={() => void toggleFullscreen()}
        onTop={toStart}
        onBottom={toEnd}
      />
      {seeking !== null && (
        <div className={classes.note} role="status">
          {strings.logs.finding(seeking + 1)}
        </div>
      )}
      {found?.isCut && <div className={classes.note}>{strings.logs.cutOff(MOST)}</div>}
      {found?.isFailed && <div className={classes.note}>{strings.logs.searchFailed}</div>}
      {pages.error !== null && (
        <PanelError
          message={strings.logs.failed(messageOf(pages.error))}
          onRetry={() => void (pages.opened ? pages.more() : pages.open("end"))}
        />
      )}
      {!pages.opened && pages.error === null && <SkeletonRows rows={14} height={18} />}
      {isEmptyLog && <div className={classes.empty}>{live ? strings.logs.empty : strings.logs.emptyDone}</div>}
      {isFiltered && count === 0 && !isSearching && !isEmptyLog && (
        <div className={classes.empty}>{strings.logs.noMatching}</div>
      )}
      {pages.opened && !isEmptyLog && (
        <Lines
          key={isFiltered ? "filtered" : "whole"}
          handle={handle}
          source={source}
          numberOf={numberOf}
          digits={String(lines ?? estimate).length}
          find={find}
          target={target ?? failureAt}
          hit={hit}
          startedAt={startedAt === null ? null : Date.parse(startedAt)}
          settings={settings}
          isNarrow={isNarrow}
          marks={marks}
          sticky={live && !isFiltered}
          onEnd={setAtEnd}
          need={need}
          onLink={onLink}
        />
      )}
      {live && !atEnd && !isFiltered && pages.opened && !isEmptyLog && (
        <div className={classes.pillPlace}>
          <Button className={classes.pill ?? ""} size="compact-sm" radius="xl" onClick={toEnd}>
            {strings.logs.newLines}
          </Button>
        </div>
      )}
    </section>
  );
}

const toSpot = (place: { page: number; index: number } | null): Spot =>
  place === null ? { block: 0, index: 0 } : { block: place.page, index: place.index };

function blocksOf(matches: Match[]): { source: Source; matches: Match[] } {
  const blocks: LogLine[][] = [];
  for (let at = 0; at < matches.length; at += BLOCK) {
    blocks.push(matches.slice(at, at + BLOCK).map((match) => match.line));
  }
  const source = {
    blocks: blocks.length,
    block: (index: number) => blocks[index],
    size: (index: number) => blocks[index]?.length ?? 0,
  };
  return { source, matches };
}

/** Two digits that count. */
function round(n: number): number {
  const unit = 10 ** Math.max(0, Math.floor(Math.log10(Math.max(1, n))) - 1);
  return Math.round(n / unit) * unit;
}

function save(address: string, name: string) {
  const link = document.createElement("a");
  link.href = address;
  link.download = name;
  link.click();
}
