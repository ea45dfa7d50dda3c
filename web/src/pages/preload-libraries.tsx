// Libraries that Postgres loads when a compute of the project starts: some extensions work only with theirs.
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { toast } from "sonner";
import { http, path } from "@/api/client";
import { preloadLibrariesQuery, useChange } from "@/api/queries";
import type { Project } from "@/api/types";
import { Button, Card, CardHead, Problem, Skeleton, Switch } from "@/ui/basics";

export function PreloadLibraries({ project }: { project: Project }) {
  const libraries = useQuery(preloadLibrariesQuery(project.id));
  const saved = project.settings?.preload_libraries?.enabled_libraries ?? [];
  const [enabled, setEnabled] = useState(saved);
  const save = useChange(
    () => http.patch(path`/projects/${project.id}`, { project: { settings: { preload_libraries: { enabled_libraries: enabled } } } }),
    () => toast.success("Saved. Computes have them from their next start on."),
  );
  const changed = [...enabled].sort().join() !== [...saved].sort().join();
  return (
    <Card>
      <CardHead title="Libraries to preload" hint="Some extensions work only with a library that Postgres loads when it starts. For all computes of the project." />
      {libraries.error ? (
        <Problem error={libraries.error} className="m-4" retry={() => void libraries.refetch()} />
      ) : !libraries.data ? (
        <Skeleton className="m-5 h-16" />
      ) : (
        <ul>
          {libraries.data.map((one) => (
            <li key={one.library_name} className="flex items-center gap-3 border-b px-5 py-2.5">
              <Switch
                label={one.library_name}
                checked={enabled.includes(one.library_name)}
                onChange={(on) => setEnabled(on ? [...enabled, one.library_name] : enabled.filter((name) => name !== one.library_name))}
              />
              <div className="min-w-0">
                <p className="truncate font-mono text-[13px]">
                  {one.library_name} <span className="text-xs text-muted">{one.version}</span>
                </p>
                <p className="text-xs text-muted">{one.description}</p>
              </div>
            </li>
          ))}
        </ul>
      )}
      {save.error && <Problem error={save.error} className="mx-5 mt-4" />}
      <div className="flex justify-end px-5 py-4">
        <Button look="solid" size="sm" busy={save.isPending} disabled={!changed} onClick={() => save.mutate(undefined)}>
          Save
        </Button>
      </div>
    </Card>
  );
}
