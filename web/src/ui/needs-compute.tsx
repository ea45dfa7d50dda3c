// In the place of what a branch's compute would show, where the branch has none.
import { Cpu } from "lucide-react";
import type { ReactNode } from "react";
import { http, path } from "@/api/client";
import { finished, useChange } from "@/api/queries";
import type { Operation } from "@/api/types";
import { useCurrent } from "@/shell/current";
import { Button, Empty, Problem } from "./basics";

export function AddCompute() {
  const { project, branch } = useCurrent();
  const add = useChange(async () => {
    const answer = await http.post<{ operations: Operation[] }>(path`/projects/${project}/endpoints`, {
      endpoint: { branch_id: branch!.id, type: "read_write" },
    });
    await finished(project, answer.operations);
  });
  return (
    <Empty
      icon={<Cpu aria-hidden />}
      title="This branch has no compute"
      action={
        <div className="space-y-3">
          <Button look="solid" busy={add.isPending} disabled={!branch} onClick={() => add.mutate(undefined)}>
            Add a compute
          </Button>
          {add.error && <Problem error={add.error} />}
        </div>
      }
    >
      A compute takes connections and runs queries. Asleep it costs nothing, and it wakes with the first query.
    </Empty>
  );
}

export function NeedsCompute({ children }: { children: ReactNode }) {
  const { branch, endpoints, endpoint } = useCurrent();
  if (branch && endpoints && !endpoint) return <AddCompute />;
  return children;
}
