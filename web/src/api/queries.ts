// What the console asks the API for, each with the key it is kept under.
import { queryOptions, useMutation, useQuery, useQueryClient } from "@tanstack/react-query";
import { ApiError, http, path } from "./client";
import type {
  Answer,
  Branch,
  Database,
  Endpoint,
  Operation,
  PlatformStatus,
  Pooler,
  Project,
  ProjectOverview,
  Role,
} from "./types";

// How often what moves by itself is asked for, while the page is seen.
const kLive = 2000;
const kSlow = 10_000;

export const sessionQuery = queryOptions({
  queryKey: ["session"],
  queryFn: ({ signal }) => http.get<{ signed_in: boolean }>("/api/v2/console/session", signal),
  staleTime: 60_000,
});

export const statusQuery = queryOptions({
  queryKey: ["status"],
  queryFn: ({ signal }) => http.get<PlatformStatus>("/api/v2/console/platform", signal),
  staleTime: 60_000,
});

// The last page repeats no project: its length is below the limit.
async function allProjects(query: string, signal: AbortSignal): Promise<Project[]> {
  const all: Project[] = [];
  for (let cursor = ""; ; ) {
    const page = await http.get<{ projects: Project[]; pagination?: { cursor?: string } }>(
      `/api/v2/projects?limit=400${query}${cursor && `&cursor=${encodeURIComponent(cursor)}`}`,
      signal,
    );
    all.push(...page.projects);
    const next = page.pagination?.cursor;
    if (page.projects.length < 400 || !next || next === cursor) return all;
    cursor = next;
  }
}

export const projectsQuery = queryOptions({
  queryKey: ["projects"],
  queryFn: ({ signal }) => allProjects("", signal),
});

// Deleted ones that can still be brought back; none where the platform has no such thing.
export const recoverableQuery = queryOptions({
  queryKey: ["projects", "recoverable"],
  queryFn: async ({ signal }) =>
    (await allProjects("&recoverable=true", signal)).filter((project) => project.recoverable_until),
});

export const overviewQuery = queryOptions({
  queryKey: ["overview"],
  queryFn: async ({ signal }) => (await http.get<Answer<"getConsoleOverview">>("/api/v2/console/overview", signal)).projects,
  refetchInterval: 5000,
});

// By name only, of all projects: for finding one.
export const allBranchesQuery = queryOptions({
  queryKey: ["branches"],
  queryFn: async ({ signal }) => (await http.get<Answer<"getConsoleBranches">>("/api/v2/console/branches", signal)).branches,
  staleTime: 5000,
});

export const projectQuery = (id: string) =>
  queryOptions({
    queryKey: ["project", id],
    queryFn: async ({ signal }) => (await http.get<Answer<"getProject">>(path`/projects/${id}`, signal)).project,
  });

export const projectOverviewQuery = (id: string) =>
  queryOptions({
    queryKey: ["project", id, "overview"],
    queryFn: ({ signal }) => http.get<ProjectOverview>(path`/projects/${id}/overview`, signal),
    refetchInterval: kLive,
  });

export const branchesQuery = (id: string) =>
  queryOptions({
    queryKey: ["project", id, "branches"],
    queryFn: async ({ signal }) => (await http.get<{ branches: Branch[] }>(path`/projects/${id}/branches`, signal)).branches,
    refetchInterval: kSlow,
  });

export const endpointsQuery = (id: string) =>
  queryOptions({
    queryKey: ["project", id, "endpoints"],
    queryFn: async ({ signal }) =>
      (await http.get<{ endpoints: Endpoint[] }>(path`/projects/${id}/endpoints`, signal)).endpoints,
    refetchInterval: kSlow,
  });

export const rolesQuery = (id: string, branch: string) =>
  queryOptions({
    queryKey: ["project", id, "branch", branch, "roles"],
    queryFn: async ({ signal }) =>
      (await http.get<{ roles: Role[] }>(path`/projects/${id}/branches/${branch}/roles`, signal)).roles,
    enabled: branch !== "",
  });

export const databasesQuery = (id: string, branch: string) =>
  queryOptions({
    queryKey: ["project", id, "branch", branch, "databases"],
    queryFn: async ({ signal }) =>
      (await http.get<{ databases: Database[] }>(path`/projects/${id}/branches/${branch}/databases`, signal)).databases,
    enabled: branch !== "",
  });

// Null: nobody but its owner knows it, for it was set by SQL.
export const passwordQuery = (id: string, branch: string, role: string) =>
  queryOptions({
    queryKey: ["project", id, "branch", branch, "password", role],
    queryFn: async ({ signal }) => {
      try {
        const answer = await http.get<{ password: string }>(
          path`/projects/${id}/branches/${branch}/roles/${role}/reveal_password`,
          signal,
        );
        return answer.password;
      } catch (error) {
        if (error instanceof ApiError && [404, 412].includes(error.status)) return null;
        throw error;
      }
    },
    enabled: branch !== "" && role !== "",
    staleTime: 30_000,
  });

export const preloadLibrariesQuery = (id: string) =>
  queryOptions({
    queryKey: ["project", id, "preload_libraries"],
    queryFn: async ({ signal }) =>
      (await http.get<Answer<"getAvailablePreloadLibraries">>(path`/projects/${id}/available_preload_libraries`, signal)).libraries,
    staleTime: 60_000,
  });

export const snapshotsQuery = (id: string) =>
  queryOptions({
    queryKey: ["project", id, "snapshots"],
    queryFn: async ({ signal }) => (await http.get<Answer<"listSnapshots">>(path`/projects/${id}/snapshots`, signal)).snapshots,
    refetchInterval: kSlow, // Schedules take some by themselves.
  });

export const scheduleQuery = (id: string, branch: string) =>
  queryOptions({
    queryKey: ["project", id, "branch", branch, "schedule"],
    queryFn: async ({ signal }) =>
      (await http.get<Answer<"getSnapshotSchedule">>(path`/projects/${id}/branches/${branch}/backup_schedule`, signal)).schedule,
  });

export const operationsQuery = (id: string) =>
  queryOptions({
    queryKey: ["project", id, "operations"],
    queryFn: async ({ signal }) =>
      (await http.get<{ operations: Operation[] }>(path`/projects/${id}/operations?limit=200`, signal)).operations,
    refetchInterval: 5000,
  });

export const poolerQuery = (id: string, endpoint: string, clients = false) =>
  queryOptions({
    queryKey: ["project", id, "pooler", endpoint, clients],
    queryFn: async ({ signal }) =>
      (await http.get<{ pooler: Pooler }>(path`/projects/${id}/endpoints/${endpoint}/pooler` + (clients ? "?clients=1" : ""), signal))
        .pooler,
    refetchInterval: kLive,
    enabled: endpoint !== "",
  });

const kWhatThereIs = new Set(["projects", "branches", "endpoints"]);

// A change, after which all that may have changed with it is asked for anew.
export function useChange<Input, Output = unknown>(
  change: (input: Input) => Promise<Output>,
  after?: (output: Output, input: Input) => unknown,
) {
  const client = useQueryClient();
  return useMutation({
    mutationFn: change,
    onSuccess: async (output, input) => {
      await after?.(output, input);
      // First what there is, then what it is like: nothing that is gone is asked for.
      await client.invalidateQueries({ predicate: (query) => kWhatThereIs.has(String(query.queryKey[2] ?? query.queryKey[0])) });
      void client.invalidateQueries(); // Nobody has to wait for it.
    },
  });
}

// Operations of a change end after its answer.
export async function finished(project: string, operations: Operation[] | undefined): Promise<void> {
  for (const begun of operations ?? []) {
    let operation = begun;
    for (let wait = 100; ["scheduling", "running", "cancelling"].includes(operation.status); wait = Math.min(wait * 1.5, 1000)) {
      await new Promise((resolve) => setTimeout(resolve, wait));
      operation = (await http.get<{ operation: Operation }>(path`/projects/${project}/operations/${operation.id}`)).operation;
    }
    if (["failed", "error"].includes(operation.status))
      throw new ApiError(500, "OPERATION_FAILED", operation.error || `${operation.action} failed`);
  }
}

export const useProject = (id: string) => useQuery(projectQuery(id));
