// What the palette finds of the project that is open: its pages, what can be made or done in it, its tables.
import { useQueryClient } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { Plug, Plus, Table2, Zap } from "lucide-react";
import type { TableInfo } from "@/sql/schema";
import { useTables } from "@/sql/use-tables";
import { useSqlTarget } from "@/sql/use-target";
import { useCompute, useCurrent } from "./current";
import { few, Group, Item } from "./palette-parts";
import { projectPlaces } from "./project-layout";
import type { Creatable } from "./use-creating";

const made = [
  { what: "branch", name: "New branch", to: "/projects/$project/branches" },
  { what: "snapshot", name: "Take snapshot", to: "/projects/$project/snapshots" },
  { what: "replica", name: "New read replica", to: "/projects/$project/computes" },
  { what: "role", name: "New role", to: "/projects/$project/roles" },
  { what: "database", name: "New database", to: "/projects/$project/roles" },
] as const satisfies { what: Creatable; name: string; to: string }[];

interface Props {
  project: string;
  name: string;
  search: string;
  go: (action: () => void) => () => void;
  wake: boolean; // Tables are looked for even where that wakes the compute.
  onWake: () => void;
}

export function ProjectItems({ project, name, search, go, wake, onWake }: Props) {
  const navigate = useNavigate();
  const { branch } = useSearch({ from: "/projects/$project" });
  const here = branch ? { branch } : {};
  return (
    <>
      <Group name={name}>
        <Item
          icon={<Plug aria-hidden />}
          value="connect connection string"
          onSelect={go(() => void navigate({ to: ".", search: (before: object) => ({ ...before, connect: true }) }))}
        >
          Connect
        </Item>
        {projectPlaces.map((place) => (
          <Item
            key={place.to}
            icon={<place.icon aria-hidden />}
            value={`go to ${place.name}`}
            onSelect={go(() => void navigate({ to: place.to, params: { project }, search: here }))}
          >
            {place.name}
          </Item>
        ))}
        {made.map((one) => (
          <Item
            key={one.what}
            icon={<Plus aria-hidden />}
            value={`${one.name} create add`}
            onSelect={go(() => void navigate({ to: one.to, params: { project }, search: { ...here, create: one.what } }))}
          >
            {one.name}
          </Item>
        ))}
      </Group>
      <Tables project={project} search={search} go={go} here={here} wake={wake} onWake={onWake} />
    </>
  );
}

interface Found {
  table: Pick<TableInfo, "schema" | "name">;
  database: string;
}

const tableText = ({ table, database }: Found) => `table ${table.schema}.${table.name} ${database}`;

// Those of the usual database, and of others that were looked at before. A sleeping compute is left alone unless it is asked for.
function useFoundTables(project: string, wake: boolean): { found: Found[]; asleep: boolean; looking: boolean } {
  const client = useQueryClient();
  const { endpoint } = useCurrent();
  const { state } = useCompute(project, endpoint?.id);
  const { target } = useSqlTarget(undefined);
  const tables = useTables(project, wake || state === "active" ? target : undefined);
  const found = client
    .getQueriesData<TableInfo[]>({ queryKey: ["sql", endpoint?.id] })
    .filter(([key]) => key[3] === "tables")
    .flatMap(([key, list]) => (list ?? []).map((table) => ({ table, database: String(key[2]) })));
  return { found, asleep: endpoint !== undefined && !tables.data && !tables.isFetching, looking: tables.isFetching && !tables.data };
}

function Tables({ project, search, go, here, wake, onWake }: Omit<Props, "name"> & { here: { branch?: string } }) {
  const navigate = useNavigate();
  const { found, asleep, looking } = useFoundTables(project, wake);
  if (found.length === 0 && !asleep && !looking) return null;
  return (
    <Group name="Tables">
      {few(found, search, tableText).map(({ table, database }) => (
        <Item
          key={`${database}/${table.schema}.${table.name}`}
          icon={<Table2 aria-hidden />}
          value={tableText({ table, database })}
          hint={database}
          onSelect={go(
            () =>
              void navigate({
                to: "/projects/$project/tables",
                params: { project },
                search: { ...here, database, table: `${table.schema}.${table.name}` },
              }),
          )}
        >
          {table.schema === "public" ? table.name : `${table.schema}.${table.name}`}
        </Item>
      ))}
      {asleep && !wake && (
        <Item icon={<Zap aria-hidden />} value="look for tables wake compute" onSelect={onWake}>
          Look for tables: wakes the compute
        </Item>
      )}
      {looking && <p className="px-2.5 py-2 text-sm text-muted">Looking for tables…</p>}
    </Group>
  );
}
