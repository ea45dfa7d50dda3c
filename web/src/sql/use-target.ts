// Whom SQL is sent to: the branch's compute, a database, its owner with the password that the platform knows.
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { databasesQuery, passwordQuery, rolesQuery } from "@/api/queries";
import type { Database, Role } from "@/api/types";
import { useCurrent } from "@/shell/current";
import type { HttpTarget } from "./http";

export interface SqlTarget {
  databases: Database[] | undefined;
  roles: Role[] | undefined;
  database: string;
  role: string;
  setRole: (role: string) => void;
  // Undefined while it is looked for, or where nobody knows the password.
  target: (HttpTarget & { endpoint: string }) | undefined;
  passwordMissing: boolean;
  error: unknown;
}

// `compute`: another of the branch's than the one that writes.
export function useSqlTarget(wantedDatabase: string | undefined, compute?: string): SqlTarget {
  const { project, branch, endpoint: primary, endpoints } = useCurrent();
  const endpoint = (compute && endpoints?.find((one) => one.id === compute)) || primary;
  const [wantedRole, setRole] = useState("");
  const branchId = branch?.id ?? "";
  const databases = useQuery(databasesQuery(project, branchId));
  const roles = useQuery(rolesQuery(project, branchId));
  const database =
    databases.data?.find((one) => one.name === wantedDatabase) ??
    databases.data?.find((one) => one.name === "neondb") ??
    databases.data?.[0];
  const logins = roles.data?.filter((one) => one.authentication_method !== "no_login");
  const role = logins?.find((one) => one.name === wantedRole) ?? logins?.find((one) => one.name === database?.owner_name) ?? logins?.[0];
  const password = useQuery(passwordQuery(project, branchId, role?.name ?? ""));
  const known = endpoint && database && role && password.data;
  return {
    databases: databases.data,
    roles: logins,
    database: database?.name ?? "",
    role: role?.name ?? "",
    setRole,
    target: known
      ? { host: endpoint.host, endpoint: endpoint.id, database: database.name, role: role.name, password: password.data! }
      : undefined,
    passwordMissing: password.data === null,
    error: databases.error ?? roles.error ?? password.error,
  };
}
