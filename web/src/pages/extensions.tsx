// Extensions of a database: what there is, what is installed.
import { useQuery } from "@tanstack/react-query";
import { Blocks } from "lucide-react";
import { useState } from "react";
import { toast } from "sonner";
import { useChange } from "@/api/queries";
import { objects, query } from "@/sql/http";
import { quoteName } from "@/sql/split";
import { useSqlTarget } from "@/sql/use-target";
import { Badge, Button, Card, CardHead, Input, Problem, Select, Skeleton } from "@/ui/basics";
import { Confirm } from "@/ui/overlays";

export function ExtensionsCard() {
  const [database, setDatabase] = useState("");
  const [filter, setFilter] = useState("");
  const [dropping, setDropping] = useState<string | null>(null);
  const sql = useSqlTarget(database || undefined);
  const target = sql.target;
  const list = useQuery({
    queryKey: ["sql", target?.endpoint, target?.database, "extensions"],
    queryFn: async ({ signal }) =>
      objects(
        await query(
          target!,
          "SELECT name, default_version, installed_version, comment FROM pg_available_extensions WHERE name <> 'halogen' ORDER BY (installed_version IS NULL), name",
          [],
          signal,
        ),
      ),
    enabled: target !== undefined,
    staleTime: 30_000,
  });
  const change = useChange(async (text: string) => query(target!, text));
  const shown = list.data?.filter((one) => `${one.name} ${one.comment}`.toLowerCase().includes(filter.toLowerCase())) ?? [];
  return (
    <Card>
      <CardHead title="Extensions">
        <Select aria-label="Database" className="w-36! sm:w-44!" value={sql.database} onChange={(event) => setDatabase(event.target.value)}>
          {sql.databases?.map((one) => <option key={one.name}>{one.name}</option>)}
        </Select>
        <Input aria-label="Filter extensions" placeholder="Filter" className="w-32! sm:w-44!" value={filter} onChange={(event) => setFilter(event.target.value)} />
      </CardHead>
      {(sql.error || list.error) && <Problem error={sql.error ?? list.error} className="m-4" retry={() => void list.refetch()} />}
      {sql.passwordMissing && <p className="p-5 text-sm text-muted">The password of {sql.role} is known to nobody here: reset it to see extensions.</p>}
      {!list.data && !list.error && !sql.passwordMissing && <Skeleton className="m-5 h-16" />}
      <ul className="scroll-thin max-h-96 overflow-y-auto" tabIndex={0} aria-label="Extensions">
        {shown.map((one) => (
          <li key={one.name} className="flex items-center gap-3 border-b px-5 py-2.5 last:border-0">
            <Blocks className="size-4 shrink-0 text-muted" aria-hidden />
            <div className="min-w-0 flex-1">
              <p className="font-medium">
                {one.name} <span className="text-xs font-normal text-muted">{one.installed_version ?? one.default_version}</span>
              </p>
              <p className="truncate text-xs text-muted">{one.comment}</p>
            </div>
            {one.installed_version ? (
              <>
                <Badge tone="ok">installed</Badge>
                {one.name !== "plpgsql" && (
                  <Button size="sm" look="quiet" onClick={() => setDropping(one.name)}>
                    Remove
                  </Button>
                )}
              </>
            ) : (
              <Button
                size="sm"
                busy={change.isPending && change.variables?.includes(quoteName(one.name!))}
                onClick={() =>
                  change.mutate(`CREATE EXTENSION IF NOT EXISTS ${quoteName(one.name!)} CASCADE`, {
                    onError: (error: Error) => toast.error(error.message),
                  })
                }
              >
                Install
              </Button>
            )}
          </li>
        ))}
      </ul>
      <Confirm
        open={dropping !== null}
        onOpenChange={() => setDropping(null)}
        title={`Remove ${dropping}`}
        action="Remove extension"
        onConfirm={() => change.mutateAsync(`DROP EXTENSION ${quoteName(dropping!)}`)}
      >
        <p>Postgres refuses it while something depends on it.</p>
      </Confirm>
    </Card>
  );
}
