// The schemas of any two branches, or moments of them, side by side.
import { type QueryClient, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { GitCompare } from "lucide-react";
import { type FormEvent, useState } from "react";
import { databasesQuery, endpointsQuery, passwordQuery } from "@/api/queries";
import type { Branch } from "@/api/types";
import { useCurrent } from "@/shell/current";
import { PageBody, PageHead } from "@/shell/project-layout";
import { schemaText } from "@/sql/schema";
import { Button, Card, Field, Input, Problem, Select } from "@/ui/basics";
import { DiffView } from "@/ui/diff-view";
import { moment } from "@/ui/format";
import { BranchSelect } from "./branch-select";

interface Side {
  branch: string;
  time: string; // As datetime-local has it; empty: now.
}

// As the owner of the database there, with the password that the platform knows.
async function schemaOf(client: QueryClient, project: string, side: Side, database: string): Promise<string> {
  const [endpoints, databases] = await Promise.all([
    client.fetchQuery(endpointsQuery(project)),
    client.fetchQuery(databasesQuery(project, side.branch)),
  ]);
  const endpoint = endpoints.find((one) => one.branch_id === side.branch);
  const found = databases.find((one) => one.name === database);
  if (!endpoint) throw new Error("The branch has no compute.");
  if (!found) throw new Error(`The branch has no database ${database}.`);
  const password = await client.fetchQuery(passwordQuery(project, side.branch, found.owner_name));
  if (password === null) throw new Error(`The password of ${found.owner_name} is not known here: reset it to look.`);
  return schemaText({
    endpoint: endpoint.id,
    database,
    role: found.owner_name,
    password,
    moment: side.time ? `neon_timestamp:${new Date(side.time).toISOString()}` : undefined,
  });
}

export function ComparePage() {
  const { project, branches, branch } = useCurrent();
  if (!branches || !branch) return <PageHead title="Compare schemas" />;
  return <Compare key={branch.id} project={project} branches={branches} branch={branch} />;
}

function Compare({ project, branches, branch }: { project: string; branches: Branch[]; branch: Branch }) {
  const client = useQueryClient();
  const other = branches.find((one) => one.id === branch.parent_id) ?? branches.find((one) => one.default) ?? branch;
  const [left, setLeft] = useState<Side>({ branch: other.id, time: "" });
  const [right, setRight] = useState<Side>({ branch: branch.id, time: "" });
  const [wanted, setDatabase] = useState("");
  const databases = useQuery(databasesQuery(project, branch.id)).data ?? [];
  const database = wanted || databases.find((one) => one.name === "neondb")?.name || databases[0]?.name || "";
  const name = (side: Side) => `${branches.find((one) => one.id === side.branch)?.name}${side.time ? `, ${moment(side.time)}` : ""}`;
  const compare = useMutation({
    mutationFn: async () => {
      const [before, after] = await Promise.all([schemaOf(client, project, left, database), schemaOf(client, project, right, database)]);
      return { before, after, beforeName: name(left), afterName: name(right) };
    },
  });
  function submit(event: FormEvent) {
    event.preventDefault();
    compare.mutate();
  }
  return (
    <>
      <PageHead title="Compare schemas" hint="Of two branches, or of a branch at two moments: tables, indexes, constraints, views, functions, triggers." />
      <PageBody>
        <Card>
          <form onSubmit={submit} className="space-y-4 p-5">
            <div className="grid gap-4 sm:grid-cols-2">
              {(
                [
                  ["Left", left, setLeft],
                  ["Right", right, setRight],
                ] as const
              ).map(([title, side, set]) => (
                <div key={title} className="grid grid-cols-2 gap-3">
                  <Field label={`${title}: branch`}>
                    {(props) => <BranchSelect {...props} branches={branches} value={side.branch} onChoose={(branch) => set({ ...side, branch })} />}
                  </Field>
                  <Field label="at" hint="Empty: now">
                    {(props) => <Input {...props} type="datetime-local" step={1} value={side.time} onChange={(event) => set({ ...side, time: event.target.value })} />}
                  </Field>
                </div>
              ))}
            </div>
            <div className="flex flex-wrap items-end justify-between gap-3">
              <Field label="Database" className="min-w-44">
                {(props) => (
                  <Select {...props} value={database} onChange={(event) => setDatabase(event.target.value)}>
                    {databases.map((one) => <option key={one.name}>{one.name}</option>)}
                  </Select>
                )}
              </Field>
              <Button type="submit" look="solid" busy={compare.isPending} disabled={database === ""} icon={<GitCompare className="size-4" aria-hidden />}>
                Compare
              </Button>
            </div>
          </form>
        </Card>
        {compare.error && <Problem error={compare.error} />}
        {compare.data && <DiffView {...compare.data} />}
      </PageBody>
    </>
  );
}
