// The API's shapes, as far as the console shows them. What an older platform does not answer is optional.

export interface Project {
  id: string;
  name: string;
  region_id: string;
  pg_version: number;
  created_at: string;
  updated_at: string;
  proxy_host: string;
  history_retention_seconds: number;
  default_endpoint_settings?: { suspend_timeout_seconds?: number };
  settings?: { allowed_ips?: { ips: string[]; protected_branches_only: boolean } };
  deleted_at?: string;
  recoverable_until?: string;
}

export interface Branch {
  id: string;
  project_id: string;
  name: string;
  default: boolean;
  protected?: boolean;
  current_state: string;
  parent_id?: string;
  parent_lsn?: string;
  parent_timestamp?: string;
  created_at: string;
  updated_at: string;
  last_reset_at?: string;
  expires_at?: string | null;
}

export interface Endpoint {
  id: string;
  project_id: string;
  branch_id: string;
  host: string;
  current_state: "init" | "active" | "idle";
  pending_state?: string;
  type?: string;
  disabled?: boolean;
  suspend_timeout_seconds: number;
  settings: {
    pg_settings?: Record<string, string | number | boolean>;
    pgbouncer_settings?: Record<string, string | number | boolean>;
    outgoing_traffic?: boolean;
    pg_settings_ignored?: Record<string, string>;
  };
  created_at: string;
  started_at?: string;
  suspended_at?: string;
}

export interface Role {
  branch_id: string;
  name: string;
  password?: string;
  protected: boolean;
  authentication_method?: string;
}

export interface Database {
  id: number;
  branch_id: string;
  name: string;
  owner_name: string;
}

export interface Operation {
  id: string;
  project_id: string;
  branch_id?: string;
  endpoint_id?: string;
  action: string;
  status: string;
  error?: string;
  created_at: string;
  updated_at: string;
  total_duration_ms: number;
}

export interface ApiKey {
  id: number;
  name: string;
  created_at: string;
  last_used_at?: string | null;
}

export type ComputeState = "idle" | "starting" | "active" | "suspending";

export interface ProjectOverview {
  branches: { branch_id: string; last_record_lsn?: string; logical_bytes?: number; own_bytes?: number }[];
  computes: {
    endpoint_id: string;
    branch_id: string;
    state: ComputeState;
    keeps_awake: string;
    problem?: string;
    started_at?: string;
    suspended_at?: string;
  }[];
}

export interface Overview {
  projects: {
    project_id: string;
    branches: number;
    computes: Partial<Record<ComputeState, number>>;
    logical_bytes: number;
    own_bytes: number;
    last_active_at?: string;
  }[];
}

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

export interface PoolerClient {
  id: string;
  database: string;
  role: string;
  mode: "transaction" | "session" | "statement";
  state: string;
  pinned_by: string;
  address: string;
  port: number;
  application_name: string;
  connected_at: string;
  last_request_at: string;
  waited_us: number;
  server_pid: number;
  queries: number;
  transactions: number;
}

export interface Pooler {
  endpoint_id: string;
  clients: Record<string, number>;
  pinned_by: Record<string, number>;
  pools: {
    database: string;
    role: string;
    mode: string;
    clients: Record<string, number>;
    servers: { used: number; idle: number; opening: number };
    size: number;
  }[];
  totals: {
    database: string;
    queries: number;
    transactions: number;
    bytes_received: number;
    bytes_sent: number;
    request_time_us: number;
    wait_time_us: number;
  }[];
  wakes: number;
  client_list?: PoolerClient[];
}
