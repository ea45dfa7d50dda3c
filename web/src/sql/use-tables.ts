import { useQuery } from "@tanstack/react-query";
import { type HttpTarget, objects, query } from "./http";
import { kTables, tableInfos } from "./schema";

// The tables of a database, for completion, the browser and the palette.
export function useTables(project: string, target: (HttpTarget & { endpoint: string; moment?: string }) | undefined) {
  return useQuery({
    queryKey: ["sql", target?.endpoint, target?.database, "tables", project, target?.role],
    queryFn: async ({ signal }) => tableInfos(objects(await query(target!, kTables, [], signal))),
    enabled: target !== undefined,
    staleTime: 15_000,
  });
}
