// The API's shapes, by short names. openapi.d.ts is generated from the document that the platform serves.
import type { components, operations } from "./openapi";

type Described = components["schemas"];

// What an operation answers when it succeeds.
export type Answer<Name extends keyof operations> = operations[Name] extends {
  responses: infer Responses extends Record<number, unknown>;
}
  ? Extract<Responses[keyof Responses & (200 | 201 | 202)], { content: unknown }>["content"] extends { "application/json": infer Body }
    ? Body
    : never
  : never;

// An item of the list, or one whole project: what both have.
export type Project = Described["ProjectListItem"];
export type WholeProject = Described["Project"];
export type Quota = Described["ProjectQuota"];
export type Branch = Described["Branch"];
// What an older release stored and this one does not allow, with the reason: of answers only.
export type Endpoint = Described["Endpoint"] & { settings: { pg_settings_ignored?: Record<string, string> } };
export type Role = Described["Role"];
export type Database = Described["Database"];
export type Operation = Described["Operation"];
export type ApiKey = Described["ApiKey"];
export type Snapshot = Answer<"listSnapshots">["snapshots"][number];
export type ScheduleItem = Answer<"getSnapshotSchedule">["schedule"][number];

export type Overview = Described["ConsoleOverview"];
export type ProjectOverview = Described["ProjectOverview"];
export type ComputeOverview = ProjectOverview["computes"][number];
export type ComputeState = ComputeOverview["state"];
export type Metrics = Described["EndpointMetrics"];
export type Pooler = Described["Pooler"];
export type PoolerClient = Described["PoolerClient"];

// As /status: for the operator, and not described.
export interface PlatformStatus {
  state: string;
  home: string;
  pg_host: string;
  pg_port: number;
  sql_port: number;
  http_url: string;
  ca_file: string;
  log_file: string;
  started_at: string;
  components: { name: string; state: string; detail: string }[];
  isolation?: { computes: string; shares: string; without: string[] };
}
