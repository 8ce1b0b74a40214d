import { useQuery } from "@tanstack/react-query";
import { useMemo, useRef } from "react";
import { Link } from "react-router";

import { messageOf } from "../../api/errors";
import type { Asset } from "../../api/queries";
import { around, assetGraph, assetKey } from "../../lib/graph/assets";
import type { DrawnNode } from "../../lib/graph/model";
import { strings } from "../../lib/strings";
import graphClasses from "../../parts/graph/graph.module.css";
import { GraphView, type GraphHandle } from "../../parts/graph/GraphView";
import { layoutQuery } from "../../parts/graph/layout";
import { ZoomButtons } from "../../parts/graph/ZoomButtons";
import { paths } from "../../paths";
import { Icon } from "../../ui/icons";
import { PanelError } from "../../ui/PanelError";
import { SkeletonBox } from "../../ui/Skeletons";
import { Time } from "../../ui/Time";
import classes from "./assets.module.css";

/** Assets and the DAGs between them; with `only`, what leads to one asset and what it leads to. */
export function AssetGraph({ assets, only }: { assets: Asset[]; only?: number }) {
  const words = strings.assets;
  const handle = useRef<GraphHandle>(null);
  const drawn = useMemo(() => {
    const whole = assetGraph(assets, words.reads);
    return only === undefined ? whole : around(whole, assetKey(only));
  }, [assets, only, words]);
  const layout = useQuery(layoutQuery(drawn));
  const byKey = useMemo(() => new Map(assets.map((asset) => [assetKey(asset.id), asset])), [assets]);
  const render = useMemo(
    () => (node: DrawnNode) => (
      <Box node={node} asset={byKey.get(node.id) ?? null} isThis={node.id === assetKey(only ?? -1)} />
    ),
    [byKey, only],
  );
  const focus = only === undefined ? null : assetKey(only);
  return (
    <div className={`${graphClasses.frame} ${only === undefined ? classes.whole : classes.small}`}>
      {layout.data === undefined ? (
        layout.error === null ? (
          <SkeletonBox height="100%" />
        ) : (
          <PanelError message={messageOf(layout.error)} onRetry={() => void layout.refetch()} />
        )
      ) : (
        <GraphView
          ref={handle}
          label={words.graphOf}
          drawn={drawn}
          layout={layout.data}
          focus={focus}
          matches={null}
          paint={(node) => [{ family: node.node.operator === "asset" ? "moving" : "idle", share: 1 }]}
          render={render}
        >
          <ZoomButtons of={handle} />
        </GraphView>
      )}
    </div>
  );
}

function Box({ node, asset, isThis }: { node: DrawnNode; asset: Asset | null; isThis: boolean }) {
  const words = strings.assets;
  const isAsset = asset !== null;
  return (
    <Link
      className={`${graphClasses.task} ${isAsset ? classes.asset : classes.dag} nopan`}
      data-this={isThis}
      to={isAsset ? paths.asset(asset.id) : paths.dag(node.label)}
      title={node.label}
    >
      <Icon name={isAsset ? "assets" : "dags"} size={16} />
      <span className={graphClasses.words}>
        <span className={graphClasses.name}>{node.label}</span>
        <span className={graphClasses.detail}>
          {!isAsset ? (
            words.dagNode
          ) : asset.last_asset_event?.timestamp == null ? (
            words.never
          ) : (
            <Time at={asset.last_asset_event.timestamp} short />
          )}
        </span>
      </span>
    </Link>
  );
}
