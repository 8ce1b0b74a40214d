import { Button, Group, Text } from "@mantine/core";
import { useState } from "react";

import { messageOf } from "../../api/errors";
import { useCreateAssetEvent, useMaterialize } from "../../api/mutations";
import type { Asset } from "../../api/queries";
import { strings } from "../../lib/strings";
import { CanButton } from "../../parts/Can";
import { paths } from "../../paths";
import { JsonField, parseJson } from "../../ui/Form";
import { Notice } from "../../ui/Notice";
import { Sheet } from "../../ui/Sheet";
import { toast } from "../../ui/toasts";

/** What one can do with an asset: say that it was updated, or run what makes it. */
export function AssetActions({ asset, size = "compact-xs" }: { asset: Asset; size?: "compact-xs" | "compact-sm" }) {
  const words = strings.assets;
  const [open, setOpen] = useState(false);
  const materialize = useMaterialize();
  const makers = new Set(asset.producing_tasks.map(({ dag_id }) => dag_id));
  return (
    <Group gap={6} wrap="nowrap">
      <CanButton
        needs="Write:Asset"
        size={size}
        variant="default"
        aria-label={words.createOf(asset.name)}
        onClick={() => setOpen(true)}
      >
        {words.create}
      </CanButton>
      <CanButton
        needs="Write:DagRun"
        size={size}
        variant="default"
        aria-label={words.materializeOf(asset.name)}
        reason={makers.size === 0 ? words.noProducer : makers.size > 1 ? words.manyProducers : null}
        loading={materialize.isPending}
        onClick={() =>
          materialize.mutate(asset.id, {
            onSuccess: (run) =>
              toast({ text: words.materialized, to: paths.run(run.dag_id, run.dag_run_id), link: words.open }),
            onError: (error) => toast({ text: messageOf(error), error: true }),
          })
        }
      >
        {words.materialize}
      </CanButton>
      {open && <EventSheet asset={asset} onClose={() => setOpen(false)} />}
    </Group>
  );
}

function EventSheet({ asset, onClose }: { asset: Asset; onClose: () => void }) {
  const words = strings.assets;
  const [text, setText] = useState("{}");
  const create = useCreateAssetEvent();
  const parsed = parseJson(text);
  const { value } = parsed;
  const isObject = value === undefined || (value !== null && typeof value === "object" && !Array.isArray(value));
  const submit = () =>
    create.mutate(
      { asset_id: asset.id, extra: (value ?? {}) as Record<string, unknown> },
      {
        onSuccess: () => {
          toast({ text: words.created(asset.name), to: paths.asset(asset.id), link: words.events });
          onClose();
        },
      },
    );
  return (
    <Sheet
      opened
      onClose={onClose}
      title={words.createOf(asset.name)}
      width={480}
      footer={
        <>
          <Button variant="default" onClick={onClose}>
            {strings.app.cancel}
          </Button>
          <CanButton
            needs="Write:Asset"
            loading={create.isPending}
            reason={parsed.error ?? (isObject ? null : words.extraObject)}
            onClick={submit}
          >
            {words.create}
          </CanButton>
        </>
      }
    >
      {create.error !== null && <Notice error>{messageOf(create.error)}</Notice>}
      <Text size="sm" mb="md">
        {words.createHint}
      </Text>
      <JsonField
        label={words.extraLabel}
        value={text}
        onChange={setText}
        error={isObject ? null : words.extraObject}
        minRows={5}
      />
    </Sheet>
  );
}
